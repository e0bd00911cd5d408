"""How measures of the same layers differ between stored and effective weights, with the model as the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.groups.labels import group_labels, ordered_labels
from filtercrawl_analysis.statistics.groups.model_medians import adjust, median_interval, sign_test, verdict

Row = dict[str, Any]

# Differences below are of rounding: measures agree to so much between machines.
NO_CHANGE: Final = 1e-6
PAIRED_CHANGE: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group", "measure", "verdict")),
        *(pa.field(name, pa.float64()) for name in ("stored", "effective", "change", "low", "high", "p", "q")),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
    ]
)


def paired_change_rows(
    stored: pa.Table, effective: pa.Table, columns: Sequence[str], measures: Sequence[str]
) -> list[Row]:
    """Return a row of PAIRED_CHANGE for each kernel size, group and measure.

    A model counts by the mean of its layers, weighted by their kernels: of sparsity this is the share of dead kernels
    among all of the model. `stored`, `effective` and `change` are medians over models of that of either form and of
    the difference. The test is the sign test of no change, for which a difference below 1e-6 is none. Models without a
    change count against both directions: a median that they hold at zero is no change; q is adjusted over all rows.

    Args:
        stored: Rows of `index`.
        effective: The same layers, with the measures of their effective weights.
        columns: Columns of `stored` whose groups are compared.
        measures: Columns of both, numbers.
    """
    kernels = stored["kernel"].to_pylist()
    sizes = np.array(stored["n_kernels"].to_pylist(), np.int64)
    rows: list[Row] = []
    for column in columns:
        labels = group_labels(stored, column)
        members: dict[tuple[str, str | None], list[int]] = {}
        for i, key in enumerate(zip(kernels, labels, strict=True)):
            members.setdefault(key, []).append(i)
        for kernel in ordered_labels(kernels, sizes):
            for name in ordered_labels(labels, sizes):
                group = {"column": column, "kernel": kernel, "group": name}
                chosen = members.get((kernel, name), [])
                rows += _of_group(group, chosen, (stored, effective), measures) if chosen else []
    q_values = adjust([row["p"] for row in rows])
    return [row | {"q": q, "verdict": verdict(q, row["change"])} for row, q in zip(rows, q_values, strict=True)]


def _of_group(group: Row, members: list[int], tables: tuple[pa.Table, pa.Table], measures: Sequence[str]) -> list[Row]:
    chosen = [table.take(members) for table in tables]
    models = np.array(chosen[0]["model_id"].to_pylist())
    kernels = chosen[0]["n_kernels"].to_numpy()
    rows = []
    for measure in measures:
        before, after = (table[measure].cast(pa.float64()).to_numpy() for table in chosen)
        known = np.isfinite(before) & np.isfinite(after)
        if not known.any():
            continue
        names, code = np.unique(models[known], return_inverse=True)
        total = np.bincount(code, kernels[known])
        first, second = (np.bincount(code, values[known] * kernels[known]) / total for values in (before, after))
        difference = second - first
        changes = np.where(np.abs(difference) < NO_CHANGE, 0.0, difference).tolist()
        interval = median_interval(changes) or (None, None)
        rows.append(
            {
                **group,
                "measure": measure,
                "stored": float(np.median(first)),
                "effective": float(np.median(second)),
                "change": float(np.median(changes)),
                "low": interval[0],
                "high": interval[1],
                "p": sign_test(changes, 0.0, count_ties=True),
                "models": len(names),
                "layers": int(known.sum()),
                "kernels": int(kernels[known].sum()),
            }
        )
    return rows
