"""The configs of the dataset, as the card's header states them to `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from filtercrawl.dataset.card.counts import DatasetCounts, FileTotals
from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import pattern_of
from filtercrawl.dataset.schema.arrow import LAYERS, PREVIEW, TABLES

_ABOUT: Final = {
    "preview": "A picture of the kernels of up to 2,000 layers.",
    "index": "A row a layer: everything but the weights, and where they are stored.",
    "models": "A row for every checkpoint ever seen, with its outcome.",
    "layers": "The weights: a row a layer, or a part of a very large one.",
    "samples": "At most 64 kernels a layer, picked by hash.",
    "sketches": "Statistics of a layer that merge with those of others: most analyses need no weights.",
    "effective": "How the weight that a network convolves with follows from the stored ones, where the two differ.",
    "ledger": "A row a tensor of every checkpoint: emitted, or skipped and why.",
    "renames": "Checkpoints that changed their name.",
    "withdrawn": "Checkpoints that were taken out, and why.",
    "sources": "What was listed, and when.",
    "runs": "What each run did and cost: checkpoints by outcome, bytes, requests, seconds.",
    "files": "Path, size and sha256 of every file.",
}
# The part of `layers` that everybody may redistribute. Its files are among the others, so the card must list each of
# them; beyond this number it would take hundreds of kilobytes.
REDISTRIBUTABLE: Final = "redistributable"
LISTED_FILES: Final = 1_000
_PICTURE: Final = PREVIEW.field("picture").type


@dataclass(frozen=True, kw_only=True)
class Config:
    """What `load_dataset(DIR, name)` reads.

    Attributes:
        name: The name of the config.
        about: One line for people.
        schema: The schema of its rows.
        paths: The patterns by which `datasets` finds the files.
        files: What these files are; a change of any must change the card.
        rows: The number of rows in all of them; None where the card is not to say it.
        splits: The patterns by split; empty where all rows are in `train`.
    """

    name: str
    about: str
    schema: pa.Schema
    paths: Sequence[str]
    files: FileTotals
    rows: int | None
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def header(self, dataset_id: str) -> dict[str, Any]:
        """Return the entry of `configs`.

        The cache of `datasets` is keyed by the card and the folder's name, not by the files: unless the
        description differs, a reader is given the rows of before, or those of another folder of that name.
        """
        return {
            "config_name": self.name,
            "data_files": [
                {"split": split, "path": list(paths)} for split, paths in (self.splits or {"train": self.paths}).items()
            ],
            "description": f"{self.about} Dataset {dataset_id}, files {self.files.digest}.",
        }

    def info(self) -> dict[str, Any]:
        """Return the entry of `dataset_info`: every type, and no sizes, which would forbid `filters=`."""
        return {"config_name": self.name, "features": features(self.schema)}


def build_configs(
    tables: Mapping[str, Sequence[Table]], counts: DatasetCounts, redistributable: Sequence[Table]
) -> Iterator[Config]:
    """Yield the configs that have rows, the default one first.

    Args:
        tables: The files of each table.
        counts: What the dataset holds.
        redistributable: The layers files that everybody may redistribute, if they can be listed.
    """
    for name, about in _ABOUT.items():
        if name == "layers" and counts.layer_files:
            yield from _of_layers(about, counts)
            if redistributable:
                yield _listed(redistributable)
        elif name == "runs" and name in tables:
            # Of these, nothing may be in the card that differs between runs with equal results: it has a hash in the
            # root. What runs changed is in the list of files, so that the description differs all the same.
            listed = FileTotals(digests=FileTotals.of(tables.get("files", ())).digests)
            yield Config(name=name, about=about, schema=TABLES[name], paths=[pattern_of(name)], files=listed, rows=None)
        elif files := tables.get(name):
            yield Config(
                name=name,
                about=about,
                schema=TABLES[name],
                paths=[pattern_of(name)],
                files=FileTotals.of(files),
                rows=sum(table.rows for table in files),
            )


def _of_layers(about: str, counts: DatasetCounts) -> Iterator[Config]:
    # Patterns, since a card that listed every file of a large dataset would have megabytes.
    patterns = {source: f"data/layers/{source}/*/*.parquet" for source in sorted(counts.layer_files)}
    rows, every = counts.layer_rows, FileTotals()
    for totals in counts.layer_files.values():
        every.add(totals)
    yield Config(
        name="layers", about=about, schema=LAYERS, paths=list(patterns.values()), files=every, rows=rows.total()
    )
    for source, pattern in patterns.items():
        yield Config(
            name=f"layers-{source}",
            about=f"The weights of the source {source} alone.",
            schema=LAYERS,
            paths=[pattern],
            files=counts.layer_files[source],
            rows=rows[source],
        )


def _listed(files: Sequence[Table]) -> Config:
    return Config(
        name=REDISTRIBUTABLE,
        about="The weights whose license lets everybody redistribute them.",
        schema=LAYERS,
        paths=[file.path for file in files],
        files=FileTotals.of(files),
        rows=sum(file.rows for file in files),
    )


def features(schema: pa.Schema) -> list[dict[str, Any]]:
    """Describe a schema in the words of the card, so that `datasets` never infers a type."""
    return [{"name": column.name, **_feature(column.type)} for column in schema]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if kind == _PICTURE:
        return {"dtype": "image"}
    if pa.types.is_large_list(kind):
        return {"large_list": _dtype(kind.value_type)}
    if pa.types.is_list(kind):
        item = kind.value_type
        return {"list": features(item) if pa.types.is_struct(item) else _feature(item).get("list") or _dtype(item)}
    return {"dtype": _dtype(kind)}


def _dtype(kind: pa.DataType) -> str:
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
