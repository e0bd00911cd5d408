"""Check the rows of `effective` against `index`: ids, hashes, shapes, and the digests of their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.dataset.tables.effective import digest_of, recipe_of, rows_of
from filtercrawl.extraction.effective.apply import center
from filtercrawl_publish.verification.issues import CheckedFolder, Issue

_INDEX: Final = "data/index"
_EFFECTIVE: Final = "data/effective"
_BATCH_ROWS: Final = 256
# Columns of `effective`, and those of `index` that must say the same.
_SAME: Final = {
    "model_id": "model_id",
    "layer_sha256": "layer_sha256",
    "effective_sha256": "effective_sha256",
    "shape": "shape",
    "steps": "effective_steps",
}
_COLUMNS: Final = ["layer_id", "merged_into", *_SAME.values()]

Row = dict[str, Any]


def check_effective(folder: CheckedFolder) -> Iterator[Issue]:
    """Check that exactly the layers with an `effective_sha256` in `index` have a row, and that it can be computed."""
    rows = folder.table("index", _COLUMNS).to_pylist()
    layers = {row["layer_id"]: row for row in rows}
    expected = {row["layer_id"] for row in rows if row["effective_sha256"] is not None}
    branches: dict[str, str] = {}
    seen: set[str] = set()
    for path in folder.tables("effective"):
        for batch in folder.open(path).iter_batches(batch_size=_BATCH_ROWS, columns=EFFECTIVE.names):
            for row in rows_of(batch):
                name = row["layer_id"]
                if name in seen:
                    yield Issue(where=f"{path}: {name}", what="is listed twice")
                    continue
                seen.add(name)
                yield from (Issue(where=f"{path}: {name}", what=what) for what in _faults(row, layers))
                branches |= {term["layer_id"]: name for term in row["terms"][1:]}
    for name in sorted(expected - seen):
        yield Issue(where=f"{_INDEX}: {name}", what=f"has an effective_sha256, and no row in {_EFFECTIVE}")
    for row in rows:
        if row["merged_into"] != branches.get(row["layer_id"]):
            what = f"merged_into is {row['merged_into']!r}, {_EFFECTIVE} has it in {branches.get(row['layer_id'])!r}"
            yield Issue(where=f"{_INDEX}: {row['layer_id']}", what=what)


def _faults(row: Row, layers: dict[str, Row]) -> Iterator[str]:
    layer = layers.get(row["layer_id"])
    if layer is None:
        yield f"belongs to no layer of {_INDEX}"
        return
    for name, column in _SAME.items():
        if row[name] != layer[column]:
            yield f"{name} is {row[name]}, {_INDEX} states {layer[column]}"
    if row["effective_sha256"] != digest_of(row):
        yield "its numbers do not have the effective_sha256 that it states"
    if not row["terms"] or row["terms"][0]["layer_id"] != row["layer_id"]:
        yield "its first term is another layer"
    try:
        recipe = recipe_of(row)
    except DatasetError as error:
        yield str(error).partition(": ")[2]
        return
    for term, stored in zip(recipe.terms, row["terms"], strict=True):
        found = layers.get(stored["layer_id"])
        known = None if found is None else (found["model_id"], found["layer_sha256"])
        if found is None or known != (row["model_id"], stored["layer_sha256"]):
            yield f"the term {stored['layer_id']} is no layer of this checkpoint with these weights"
            continue
        try:
            center(tuple(found["shape"]), recipe.shape, term.dilation)
        except ValueError as error:
            yield f"the term {stored['layer_id']} does not fit: {error}"
