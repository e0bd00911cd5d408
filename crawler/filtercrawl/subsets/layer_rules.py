"""The rules of a recipe that need no weight: conditions, copies of layers, and caps on models and layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from filtercrawl.subsets.exclusions import Exclusions
from filtercrawl.subsets.picks import pick
from filtercrawl.subsets.population import Population
from filtercrawl.subsets.recipe import Caps, LayerRules, Recipe


def apply_layer_rules(population: Population, recipe: Recipe) -> Exclusions:
    """Apply everything that can be decided before weights are read, in the order of the recipe."""
    exclusions = Exclusions(len(population.layers))
    exclusions.exclude("not_stored", np.flatnonzero(population.owners < 0))
    exclusions.exclude("where", np.flatnonzero(~population.matches))
    for reason, excluded in _rules(population, recipe.layers):
        exclusions.exclude(reason, excluded)
    if recipe.deduplicate.layers:
        exclusions.exclude("duplicate_layer", _copies(population, exclusions))
    _apply_caps(population, exclusions, recipe.caps, recipe.seed)
    return exclusions


def _rules(population: Population, rules: LayerRules) -> Iterator[tuple[str, list[int]]]:
    """Yield each rule that the recipe has, with the layers that do not meet it."""

    def failing(column: str, meets: Callable[[Any], bool]) -> list[int]:
        return [row for row, value in enumerate(population.values(column)) if not meets(value)]

    if rules.kernel_sizes:
        yield "kernel_size", failing("kernel", lambda value: value in rules.kernel_sizes)
    if rules.weight_kinds:
        yield "weight_kind", failing("weight_kind", lambda value: value in rules.weight_kinds)
    if rules.final_only:
        yield "not_final", failing("run_final", lambda value: value is not False)
    if rules.redistributable:
        yield "not_redistributable", failing("redistributable", lambda value: value is True)
    if (least := rules.min_kernels) is not None:
        yield "few_kernels", failing("n_kernels", lambda value: value >= least)
    for column, bounds in sorted(rules.range.items()):
        yield f"range_{column}", failing(column, lambda value, bounds=bounds: _within(value, bounds))  # type: ignore[misc]


def _within(value: float | None, bounds: Mapping[str, float]) -> bool:
    """Tell whether a value is known and between bounds; NaN is not."""
    return value is not None and bounds.get("min", -np.inf) <= value <= bounds.get("max", np.inf)


def _copies(population: Population, exclusions: Exclusions) -> list[int]:
    """Return the layers whose bytes another one has: of equal ones the first that stores its weight stays."""
    kept = exclusions.kept.tolist()
    hashes, kernels = population.values("layer_sha256"), population.values("kernel")
    first: dict[tuple[str, str], int] = {}
    # Rows are in the order of ids.
    for row in sorted(kept, key=lambda row: (int(population.owners[row]) != row, row)):
        first.setdefault((hashes[row], kernels[row]), row)
    return [row for row in kept if first[hashes[row], kernels[row]] != row]


def _apply_caps(population: Population, exclusions: Exclusions, caps: Caps, seed: int) -> None:
    models, families = population.values("model_id"), population.values("family")
    if caps.models_per_family is not None:
        members: defaultdict[str, set[str]] = defaultdict(set)
        for row in exclusions.kept.tolist():
            if families[row] is not None:
                members[families[row]].add(models[row])
        left_out = {
            model for names in members.values() for model in names - pick(seed, "models", names, caps.models_per_family)
        }
        exclusions.exclude("cap_models_per_family", [row for row, model in enumerate(models) if model in left_out])
    if caps.layers_per_model is not None:
        layers, ids = defaultdict[str, list[int]](list), population.values("layer_id")
        for row in exclusions.kept.tolist():
            layers[models[row]].append(row)
        beyond: list[int] = []
        for rows in layers.values():
            taken = pick(seed, "layers", (ids[row] for row in rows), caps.layers_per_model)
            beyond += [row for row in rows if ids[row] not in taken]
        exclusions.exclude("cap_layers_per_model", beyond)
