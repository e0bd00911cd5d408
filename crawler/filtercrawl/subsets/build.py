"""From a recipe to the rows of a subset, and what became of every other layer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.errors import UsageError
from filtercrawl.api.progress import Progress
from filtercrawl.dataset.files.subset_folders import SPLITS
from filtercrawl.dataset.schema.subset_rows import ExcludedLayerRow, SubsetRow
from filtercrawl.load.location import DatasetLocation
from filtercrawl.subsets.exclusions import Exclusions
from filtercrawl.subsets.kernel_selection import KernelSelection, select_kernels
from filtercrawl.subsets.kin import Kin, find_kin
from filtercrawl.subsets.layer_rules import apply_layer_rules
from filtercrawl.subsets.population import Population
from filtercrawl.subsets.recipe import Recipe
from filtercrawl.subsets.splits import assign_splits

# Of a manifest's columns, those that `index` has of the layer itself, and those of where its weight is stored.
_OF_LAYER: Final = ("layer_id", "model_id", "kernel", "kernel_size", "shape", "license", "n_kernels", "layer_sha256")
_OF_OWNER: Final = ("row_id", "file", "row_group", "n_parts")


@dataclass(frozen=True, kw_only=True, eq=False)
class SubsetContent:
    """A subset as it is written.

    Attributes:
        recipe: What it was made by.
        rows: Its layers by layer id, a `SubsetRow` each.
        excluded: All other layers of the dataset by layer id, an `ExcludedLayerRow` each.
        about: What `subset.json` says.
    """

    recipe: Recipe
    rows: pa.Table
    excluded: pa.Table
    about: Mapping[str, Any]

    def split(self, name: str) -> pa.Table:
        """Return the layers of one split."""
        return self.rows.filter(pa.array([split == name for split in self.rows["split"].to_pylist()], pa.bool_()))


def build_subset(location: DatasetLocation, recipe: Recipe, progress: Progress) -> SubsetContent:
    """Select what a recipe says. The result depends on the recipe and the dataset alone.

    Raises:
        UsageError: The condition is not understood, or no kernel is left.
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    population = Population.load(location, recipe)
    kin = find_kin(location, population.layers, by_family=recipe.splits.disjoint_by == "family")
    exclusions = apply_layer_rules(population, recipe)
    kernels = select_kernels(population, exclusions.kept.tolist(), recipe, progress)
    exclusions.exclude("no_kernel_left", [row for row in exclusions.kept.tolist() if not kernels.n_kept(row)])
    kept: list[int] = exclusions.kept.tolist()
    if not kept:
        raise UsageError(f"{location}: no kernel is left by the recipe {recipe.name}; {_why(exclusions, population)}")
    rows = _rows(population, kept, kernels, kin, recipe)
    groups = [kin.groups[model] for model in population.values("model_id")]
    about = {
        **_identity(recipe),
        "dataset_id": population.dataset_id,
        "inputs_sha256": population.sha256(groups),
        "rows_sha256": _sha256(rows),
        "splits": {name: counts for name in SPLITS if (counts := _counts(rows, name))},
        "layers": _layer_counts(exclusions, population),
        "kernels": _kernel_counts(kernels, kept),
        "kin": {"groups": len(set(rows["kin"].to_pylist())), "evidence": kin.evidence, "lineage": kin.has_lineage},
    }
    return SubsetContent(recipe=recipe, rows=rows, excluded=_excluded(population, exclusions), about=about)


def _why(exclusions: Exclusions, population: Population) -> str:
    """Say what excluded all layers, for an error."""
    lost = Counter(exclusions.reasons().values())
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in lost.most_common())
    unknown = f"; unknown of every layer: {', '.join(population.unknown)}" if population.unknown else ""
    return f"layers excluded by: {reasons}{unknown}"


def _identity(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "recipe": recipe.to_toml_values(),
        "recipe_sha256": recipe.sha256,
    }


def _rows(population: Population, kept: Sequence[int], kernels: KernelSelection, kin: Kin, recipe: Recipe) -> pa.Table:
    layers = population.layers.take(pa.array(kept, pa.int64()))
    owners = population.layers.take(pa.array(population.owners[kept]))
    groups = [kin.groups[model] for model in layers["model_id"].to_pylist()]
    splits = assign_splits(groups, recipe.splits, recipe.seed)
    columns: dict[str, Any] = {
        **{name: layers[name] for name in _OF_LAYER},
        **{name: owners[name] for name in _OF_OWNER},
        "kin": pa.array(groups, pa.string()),
        "split": pa.array([splits[group] for group in groups], pa.string()),
        "n_kept": pa.array([kernels.n_kept(row) for row in kept], pa.int64()),
        "kept": pa.array([kernels.packed(row) for row in kept], pa.binary()),
    }
    table = pa.table({name: columns[name] for name in SubsetRow.SCHEMA.names})
    return table.cast(SubsetRow.SCHEMA).combine_chunks()


def _excluded(population: Population, exclusions: Exclusions) -> pa.Table:
    ids, reasons = population.values("layer_id"), exclusions.reasons()
    columns = {"layer_id": [ids[row] for row in reasons], "reason": list(reasons.values())}
    return pa.table(columns, schema=ExcludedLayerRow.SCHEMA)


def _counts(rows: pa.Table, split: str) -> dict[str, int]:
    """Count what a split has; nothing where it has no layer."""
    names = ("split", "model_id", "kin", "n_kept")
    own = [row for row in zip(*(rows[name].to_pylist() for name in names), strict=True) if row[0] == split]
    if not own:
        return {}
    return {
        "models": len({model for _, model, _, _ in own}),
        "kin_groups": len({group for _, _, group, _ in own}),
        "layers": len(own),
        "kernels": sum(n_kept for _, _, _, n_kept in own),
    }


def _layer_counts(exclusions: Exclusions, population: Population) -> dict[str, Any]:
    lost = Counter(exclusions.reasons().values())
    return {"total": len(population.layers), "kept": len(exclusions.kept), "excluded": dict(sorted(lost.items()))}


def _kernel_counts(kernels: KernelSelection, kept: Sequence[int]) -> dict[str, Any]:
    """Count the kernels of layers that rules for kernels have looked at."""
    total = sum(kernels.n_kernels.values())
    excluded = dict(sorted(kernels.excluded.items()))
    return {"total": total, "kept": sum(kernels.n_kept(row) for row in kept), "excluded": excluded}


def _sha256(rows: pa.Table) -> str:
    """Return the SHA-256 of rows as JSON lines: that of their Parquet file depends on the version of its writer."""
    digest = hashlib.sha256()
    for batch in rows.to_batches(max_chunksize=8192):
        for row in batch.to_pylist():
            row["kept"] = None if row["kept"] is None else row["kept"].hex()
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
