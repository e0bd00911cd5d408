"""Whether the weights are what their rows and the index say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pyarrow as pa

from filtercrawl.dataset.schema.arrow import LAYERS
from filtercrawl_publish.verification.files import schema_problem
from filtercrawl_publish.verification.issues import DatasetFolder, Issue
from filtercrawl_publish.verification.layer_rows import SHARED, Row, ScannedLayer, scan_layers

_INDEX = [*SHARED, "shape", "n_kernels", "weight_sha256", "file", "row_group"]


def check_weights(folder: DatasetFolder) -> Iterator[Issue]:
    """Read every row of `layers` and compare it with itself and with `index`.

    Memory: the index without its metrics, about half a kilobyte a layer, and one row group of weights.
    """
    if not folder.whole("index"):
        for path in folder.layers():
            yield from _check_file(folder, path, None)
        return
    index = folder.table("index", _INDEX).sort_by("file")
    expected: dict[str | None, tuple[int, int]] = {}
    start = 0
    for path, run in groupby(index["file"].to_pylist()):
        expected[path] = (start, start + sum(1 for _ in run))
        start = expected[path][1]
    expected.pop(None, None)
    for path in folder.layers():
        first, last = expected.pop(path, (0, 0))
        rows = {row["layer_id"]: row for row in index.slice(first, last - first).to_pylist()}
        yield from _check_file(folder, path, rows)
    listed = {file.path for file in folder.files}
    for missing in expected:
        if missing not in listed:  # of a listed file it is said already why it cannot be read
            yield Issue(where="data/index.parquet", what=f"names the file {missing!r}, which is not there")


def _check_file(folder: DatasetFolder, path: str, rows: dict[str, Row] | None) -> Iterator[Issue]:
    """Check one file of layers, and against its rows of `index` where those can be read."""
    seen: set[str] = set()
    models: set[str] = set()
    try:
        for item in _items(folder, path):
            if isinstance(item, Issue):
                yield item
                continue
            layer_id = item.row["layer_id"]
            models.add(item.row["model_id"])
            where = f"{path}: {layer_id}"
            if layer_id in seen:
                yield Issue(where=where, what="stands there twice")
            seen.add(layer_id)
            if rows is not None:
                for what in _disagree(item, rows.pop(layer_id, None)):
                    yield Issue(where=where, what=what)
    except (OSError, ValueError, pa.ArrowException) as error:
        yield Issue(where=path, what=f"cannot be read to its end: {' '.join(str(error).split())}")
        return
    for layer_id in rows or ():
        yield Issue(where=f"data/index.parquet: {layer_id}", what=f"is not in {path}, which it names")
    if len(models) > 1:
        yield Issue(where=path, what=f"holds layers of {len(models)} checkpoints: {', '.join(sorted(models))}")


def _items(folder: DatasetFolder, path: str) -> Iterator[ScannedLayer | Issue]:
    """Read a file of layers; one that was brought here is held against the schema first, as those here are."""
    with folder.materialize(path):
        problem = schema_problem(folder.path / path, LAYERS) if folder.fetch_file is not None else None
        if problem is not None:
            yield Issue(where=path, what=problem)
        else:
            yield from scan_layers(folder, path)


def _disagree(whole: ScannedLayer, row: Row | None) -> Iterator[str]:
    if row is None:
        yield "has no row in data/index.parquet that names this file"
        return
    stored = {name: whole.row[name] for name in SHARED} | {
        "shape": [whole.channels, *whole.row["shape"][1:]],
        "n_kernels": whole.kernels,
        "weight_sha256": whole.row["layer_sha256"],
        "row_group": whole.group,
    }
    for name, value in stored.items():
        if row[name] != value:
            yield f"{name} is {value!r}, data/index.parquet says {row[name]!r}"
