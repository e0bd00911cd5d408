"""Check the weights against their rows and the index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pyarrow as pa

from filtercrawl.dataset.schema.arrow import LAYERS
from filtercrawl_publish.verification.files import schema_problem
from filtercrawl_publish.verification.issues import CheckedFolder, Issue, pc
from filtercrawl_publish.verification.layer_rows import LAYER_COLUMNS, Row, ScannedLayer, scan_layers

_INDEX_COLUMNS = [*LAYER_COLUMNS, "shape", "n_kernels", "weight_sha256", "file", "row_group"]


def check_weights(folder: CheckedFolder) -> Iterator[Issue]:
    """Read every row of `layers` and compare it with its own weight and with `index`.

    Memory: the index without its metrics, about half a kilobyte per layer, and one row group of weights.
    """
    if not folder.is_complete("index"):
        for path in folder.layers():
            yield from _check_file(folder, path, None)
        return
    index = folder.table("index", _INDEX_COLUMNS).filter(pc.field("row_group").is_valid()).sort_by("file")
    ranges: dict[str | None, tuple[int, int]] = {}  # rows of the sorted index by file
    start = 0
    for path, group in groupby(index["file"].to_pylist()):
        ranges[path] = (start, start + sum(1 for _ in group))
        start = ranges[path][1]
    ranges.pop(None, None)
    for path in folder.layers():
        start, stop = ranges.pop(path, (0, 0))
        rows = {row["layer_id"]: row for row in index.slice(start, stop - start).to_pylist()}
        yield from _check_file(folder, path, rows)
    listed = {file.path for file in folder.files}
    for missing in ranges:
        if missing not in listed:  # for a listed file it was reported why it cannot be read
            yield Issue(where="data/index", what=f"names the file {missing!r}, which does not exist")


def _check_file(folder: CheckedFolder, path: str, rows: dict[str, Row] | None) -> Iterator[Issue]:
    """Check one layers file, and compare it with its rows of `index` unless these are None."""
    seen: set[str] = set()
    models: set[str] = set()
    try:
        for item in _scan(folder, path):
            if isinstance(item, Issue):
                yield item
                continue
            layer_id = item.row["layer_id"]
            models.add(item.row["model_id"])
            where = f"{path}: {layer_id}"
            if layer_id in seen:
                yield Issue(where=where, what="is listed twice")
            seen.add(layer_id)
            if rows is not None:
                for what in _compare_with_index(item, rows.pop(layer_id, None)):
                    yield Issue(where=where, what=what)
    except (OSError, ValueError, pa.ArrowException) as error:
        yield Issue(where=path, what=f"cannot be read to its end: {' '.join(str(error).split())}")
        return
    for layer_id in rows or ():
        yield Issue(where=f"data/index: {layer_id}", what=f"is not in {path}, which its row names")
    if len(models) > 1:
        yield Issue(where=path, what=f"holds layers of {len(models)} checkpoints: {', '.join(sorted(models))}")


def _scan(folder: CheckedFolder, path: str) -> Iterator[ScannedLayer | Issue]:
    """Read a layers file; one that was downloaded for this is compared with the schema first, like the local ones."""
    with folder.materialize(path):
        problem = schema_problem(folder.path / path, LAYERS) if folder.fetch_file is not None else None
        if problem is not None:
            yield Issue(where=path, what=problem)
        else:
            yield from scan_layers(folder, path)


def _compare_with_index(layer: ScannedLayer, row: Row | None) -> Iterator[str]:
    if row is None:
        yield "has no row in data/index that names this file"
        return
    stored = {name: layer.row[name] for name in LAYER_COLUMNS} | {
        "shape": [layer.channels, *layer.row["shape"][1:]],
        "n_kernels": layer.kernels,
        "weight_sha256": layer.row["layer_sha256"],
        "row_group": layer.group,
    }
    for name, value in stored.items():
        if row[name] != value:
            yield f"{name} is {value!r}, data/index states {row[name]!r}"
