"""Which models are kin, so that one may tell about the other: what was copied, trained on or shares weights."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, NotFoundError
from filtercrawl.load.location import DatasetLocation, FolderLocation, reading
from filtercrawl.subsets.population import read_models

# Tables of the analysis `lineage`, with the columns that name a pair of models.
LINEAGE_TABLES: Final = {
    "analysis/tables/lineage.parquet": ("child", "parent"),
    "analysis/tables/related_models.parquet": ("model_a", "model_b"),
}
# Layers of these kinds are trained: equal ones come from one network, while fixed filters are equal by design.
_TRAINED: Final = frozenset({"learned", "standardized"})
# (what tells, model, model or something that models have in common)
Tie = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Kin:
    """Groups of models that are kin.

    Attributes:
        groups: The first model of its group, by model.
        evidence: Number of ties by what tells them: `duplicate`, `weights` (equal trained layers), `run` (one training
            run), `stated` (a base model on a card), `lineage` (the analysis of that name), `family`.
        has_lineage: Whether the analysis `lineage` was made; without it, models whose every layer was trained on are
            kin only where somebody states it.
    """

    groups: Mapping[str, str]
    evidence: Mapping[str, int]
    has_lineage: bool


def find_kin(location: DatasetLocation, layers: pa.Table, *, by_family: bool = False) -> Kin:
    """Group the models of a dataset.

    Args:
        location: The dataset.
        layers: `model_id`, `layer_sha256`, `weight_kind`, `norm_linf`, `run_id` and `family` of all rows of `index`.
        by_family: Whether models of one family count as kin.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    models = read_models(location, ["model_id", "duplicate_of", "extra"])
    names = set(layers["model_id"].to_pylist()) | set(models["model_id"].to_pylist())
    ties = [*_of_models(models), *_of_layers(layers, by_family=by_family)]
    found = False
    for path, columns in LINEAGE_TABLES.items():
        table = _analysis_table(location, path, columns)
        found = found or table is not None
        ties += [("lineage", *pair) for pair in _pairs(table, columns) if names.issuperset(pair)]
    return Kin(
        groups=group_models(names, ((a, b) for _, a, b in ties)),
        evidence=dict(sorted(Counter(kind for kind, a, b in ties if a != b).items())),
        has_lineage=found,
    )


def group_models(names: Collection[str], ties: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the first name of each name's group, by name; ties may also go through what is no name."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (parent := parents.setdefault(name, name)) != name:
            parents[name] = parents[parent]
            name = parents[parent]
        return name

    for a, b in ties:
        parents[root(a)] = root(b)
    first: dict[str, str] = {}
    for name in sorted(names):
        first.setdefault(root(name), name)
    return {name: first[root(name)] for name in sorted(names)}


def _of_models(models: pa.Table) -> Iterator[Tie]:
    """Yield ties by duplicates and by what cards state, which name repositories of the Hub and not files in them."""
    rows = models.to_pylist()
    stated = {row["model_id"]: stated_parents(row["extra"]) for row in rows}
    named = {parent for parents in stated.values() for parent in parents}
    for row in rows:
        name = row["model_id"]
        if row["duplicate_of"] is not None:
            yield "duplicate", name, row["duplicate_of"]
        source, _, path = name.partition("/")
        own = "/".join(path.split("/")[:2])
        repositories = [*stated[name], *([own] if source == "hub" and own in named else [])]
        # What is no id of a model stands for the repository.
        yield from (("stated", name, f"repository {repository}") for repository in repositories)


def stated_parents(extra: str | None) -> tuple[str, ...]:
    """Return the repositories that a card states as base models; `extra` is that column of `models`."""
    try:
        content = json.loads(extra or "{}")
    except (ValueError, RecursionError):
        return ()
    parents = content.get("parents") if isinstance(content, dict) else None
    return tuple(map(str, parents)) if isinstance(parents, list) else ()


def _of_layers(layers: pa.Table, *, by_family: bool) -> Iterator[Tie]:
    """Yield ties by equal trained layers, training runs and, if asked for, families."""
    names = ("model_id", "layer_sha256", "weight_kind", "norm_linf", "run_id", "family")
    first: dict[tuple[str, str], str] = {}
    seen: set[Tie] = set()
    for model, content, kind, peak, run, family in zip(*(layers[name].to_pylist() for name in names), strict=True):
        shared = {"weights": content if kind in _TRAINED and peak != 0 else None, "run": run}
        if by_family:
            shared["family"] = family
        for what, value in shared.items():
            if value is not None:
                tie = what, model, first.setdefault((what, value), model)
                if tie[1] != tie[2] and tie not in seen:
                    seen.add(tie)
                    yield tie


def _analysis_table(location: DatasetLocation, path: str, columns: tuple[str, ...]) -> pa.Table | None:
    """Return columns of a table of an analysis; None where it was not made."""
    if isinstance(location, FolderLocation) and not (location.root / path).is_file():
        return None
    try:
        file = location.file(path)
    except NotFoundError:
        return None
    with reading(location, path), pq.ParquetFile(file) as table:
        if lacking := [name for name in columns if name not in table.schema_arrow.names]:
            raise DatasetError(f"{location}: {path} lacks the column {lacking[0]}; run `filtercrawl analyze` again")
        return table.read(list(columns), use_threads=False)


def _pairs(table: pa.Table | None, columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of models of a table."""
    if table is not None:
        yield from zip(*(table[name].to_pylist() for name in columns), strict=True)
