"""Check sketches against the stored layers: one for equal layers, with the counts in `index`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from filtercrawl_publish.verification.issues import CheckedFolder, Issue

_SKETCHES: Final = "data/sketches"
_INDEX: Final = "data/index"
_BATCH_ROWS: Final = 256
_COLUMNS: Final = ["layer_sha256", "kernel", "taps", "n_kernels", "n_finite", "n_dead", "power_sums", "histogram"]

Row = dict[str, Any]
Key = tuple[str, str]


def check_sketches(folder: CheckedFolder) -> Iterator[Issue]:
    """Check that exactly the stored layers have a sketch, equal ones together one, and that it agrees with `index`.

    A dataset without any sketch is valid: it was synced without the measure that creates them.
    """
    paths = folder.tables("sketches")
    if not paths:
        return
    columns = ["layer_sha256", "kernel", "layer_id", "row_group", "taps", "n_kernels", "n_dead", "n_nonfinite"]
    stored = {
        (row["layer_sha256"], row["kernel"]): row
        for row in folder.table("index", columns).to_pylist()
        if row["row_group"] is not None
    }
    keys: set[Key] = set()
    for path in paths:
        for batch in folder.open(path).iter_batches(batch_size=_BATCH_ROWS, columns=_COLUMNS):
            for row in batch.to_pylist():
                key = row["layer_sha256"], row["kernel"]
                where = f"{path}: {row['layer_sha256']} {row['kernel']}"
                if key in keys:
                    yield Issue(where=where, what="is listed twice")
                elif key not in stored:
                    yield Issue(where=where, what=f"belongs to no stored layer of {_INDEX}")
                else:
                    yield from (Issue(where=where, what=what) for what in _compare(row, stored[key]))
                keys.add(key)
    for key in sorted(stored.keys() - keys):
        yield Issue(where=f"{_SKETCHES}: {stored[key]['layer_id']}", what="has no sketch, other layers have one")


def _compare(sketch: Row, layer: Row) -> Iterator[str]:
    """Compare a sketch with its row of `index`, and its own counts."""
    for name in ("taps", "n_kernels", "n_dead"):
        if layer[name] is not None and sketch[name] != layer[name]:
            yield f"{name} is {sketch[name]}, {_INDEX} states {layer[name]}"
    n_weights, n_nonfinite = sketch["n_kernels"] * sketch["taps"], layer["n_nonfinite"]
    if n_nonfinite is not None and sketch["power_sums"][:1] != [float(n_weights - n_nonfinite)]:
        yield f"counts {sketch['power_sums'][:1]} finite weights, {_INDEX} has {n_weights - n_nonfinite}"
    if not sketch["n_dead"] <= sketch["n_finite"] <= sketch["n_kernels"]:
        yield f"has {sketch['n_dead']} dead of {sketch['n_finite']} finite of {sketch['n_kernels']} kernels"
    counts = sketch["histogram"]
    if counts is not None and sum(counts) != sketch["n_finite"] * sketch["taps"]:
        yield f"histogram counts {sum(counts)} coefficients, not {sketch['n_finite'] * sketch['taps']}"
