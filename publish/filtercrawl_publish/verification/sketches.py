"""Whether the sketches are those of the stored layers: one each, and with the counts that `index` states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from filtercrawl.dataset.files.table_files import base_path
from filtercrawl_publish.verification.issues import DatasetFolder, Issue

_SKETCHES: Final = "data/sketches"
_INDEX: Final = "data/index.parquet"
_BATCH_ROWS: Final = 256
_COLUMNS: Final = ["layer_sha256", "kernel", "taps", "n_kernels", "n_finite", "n_dead", "power_sums", "histogram"]

Row = dict[str, Any]
Key = tuple[str, str]


def check_sketches(folder: DatasetFolder) -> Iterator[Issue]:
    """Check that each stored layer has its sketch, once a source, which agrees with `index`, and that nothing else has.

    A dataset without any sketch is sound: it was written without a measure that makes them.
    """
    paths = folder.tables("sketches")
    if not paths:
        return
    columns = ["layer_sha256", "kernel", "layer_id", "file", "taps", "n_kernels", "n_dead", "n_nonfinite"]
    stored = {
        (row["layer_sha256"], row["kernel"]): row
        for row in folder.table("index", columns).to_pylist()
        if row["file"] is not None
    }
    found: dict[str, set[Key]] = {}
    for path in paths:
        here = found.setdefault(base_path(path.removesuffix(".parquet")), set())
        for batch in folder.open(path).iter_batches(batch_size=_BATCH_ROWS, columns=_COLUMNS):
            for row in batch.to_pylist():
                key = row["layer_sha256"], row["kernel"]
                where = f"{path}: {row['layer_sha256']} {row['kernel']}"
                if key in here:
                    yield Issue(where=where, what="stands there twice")
                elif key not in stored:
                    yield Issue(where=where, what=f"is of no layer that {_INDEX} calls stored")
                else:
                    yield from (Issue(where=where, what=what) for what in _differs(row, stored[key]))
                here.add(key)
    for key in sorted(stored.keys() - set[Key]().union(*found.values())):
        yield Issue(where=f"{_SKETCHES}: {stored[key]['layer_id']}", what="has no sketch, other layers have")


def _differs(sketch: Row, layer: Row) -> Iterator[str]:
    """Say how a sketch contradicts its row of `index`, or itself."""
    for name in ("taps", "n_kernels", "n_dead"):
        if layer[name] is not None and sketch[name] != layer[name]:
            yield f"{name} is {sketch[name]}, {_INDEX} says {layer[name]}"
    numbers, lacking = sketch["n_kernels"] * sketch["taps"], layer["n_nonfinite"]
    if lacking is not None and sketch["power_sums"][:1] != [float(numbers - lacking)]:
        yield f"counts {sketch['power_sums'][:1]} finite weights, {_INDEX} says {numbers - lacking}"
    if not sketch["n_dead"] <= sketch["n_finite"] <= sketch["n_kernels"]:
        yield f"has {sketch['n_dead']} dead of {sketch['n_finite']} finite of {sketch['n_kernels']} kernels"
    counts = sketch["histogram"]
    if counts is not None and sum(counts) != sketch["n_finite"] * sketch["taps"]:
        yield f"its histogram counts {sum(counts)} coefficients, not {sketch['n_finite'] * sketch['taps']}"
