"""The analysis `effective`: what networks convolve with against what checkpoints store, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl.api.formatting import format_plural
from filtercrawl_analysis.analyses.effective_findings import CHANGES, DRIFT, STEPS, effective_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.effective import paired_intervals, paired_scatters
from filtercrawl_analysis.statistics.components.coefficients import (
    kernel_sizes,
    scaled_moments,
    select_kernel_size,
    sketched_histograms,
)
from filtercrawl_analysis.statistics.drift.paired_views import PAIRED_DRIFT, PairedHistograms, paired_drift_rows
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import POSITION, layer_groups, resolve_column, sample_size
from filtercrawl_analysis.statistics.quality.paired_change import PAIRED_CHANGE, paired_change_rows

Row = dict[str, Any]

MEASURES: Final = ("sparsity", "variance_entropy_norm", "orthogonality")
# The column of all layers, and that of what is done to them.
ALL: Final = "all"
STEP_COLUMN: Final = "steps"
# Groups in the figure of drift, those with the largest.
MAX_GROUPS: Final = 20
_STEPS: Final = (
    "Layers whose effective weight is not the stored one, by what is done: branches are merged, standardized or "
    "normalized weights computed, and the batch normalization that follows is folded in. share: of all analyzed layers."
)
_DRIFT: Final = (
    "D between the effective kernels and the stored ones of the same layers, from sketches: kernels are divided by "
    "their largest magnitude first, so D is 0 where filters are only multiplied by a positive number. The test "
    "exchanges the two forms within models. verdict: differs where q <= 0.05, adjusted over all rows; too little to "
    "tell where no outcome could have been significant. Groups of fewer than 100 kernels are left out."
)
_CHANGES: Final = (
    "stored, effective: of the weights in either form; medians over models, each by the mean of its layers, "
    "weighted by their kernels. change: median over models of the difference, with its 95 % interval; p: sign test "
    "over models, q: adjusted over all rows (Benjamini and Hochberg). sparsity: share of kernels below a hundredth of "
    "the layer's largest magnitude."
)


def analyze(dataset: DatasetView) -> Result:
    """Compare effective and stored weights of the same layers."""
    dataset.progress(0, 1, "effective weights")
    stored, effective, total = _paired(dataset)
    if not stored.num_rows:
        return empty_result("no layer is known to be convolved with otherwise than it is stored")
    options = dataset.options
    named = [name for name in options.by if name == POSITION or resolve_column(stored, name)]
    kinds = [STEP_COLUMN] if len(set(stored[STEP_COLUMN].to_pylist())) > 1 else []
    columns = list(dict.fromkeys((ALL, *kinds, *named, POSITION)))
    steps = _step_rows(stored, total)
    histograms = []
    sizes = kernel_sizes(stored)
    for i, kernel in enumerate(sizes):
        dataset.progress(i, len(sizes), f"effective weights, {kernel}")
        if (found := _histograms(dataset, stored, effective, kernel, columns)) is not None:
            histograms.append(found)
    dataset.progress(len(sizes), len(sizes), "effective weights")
    drift = paired_drift_rows(histograms, columns, options.resamples, options.seed)
    changes = paired_change_rows(stored, effective, columns, MEASURES)
    tables = [
        ResultTable(
            name=STEPS,
            title="Layers that are not convolved with as they are stored",
            rows=pa.Table.from_pylist(steps),
            about=_STEPS,
        ),
        ResultTable(
            name=DRIFT,
            title="Drift between effective and stored kernels",
            rows=pa.Table.from_pylist(drift, schema=PAIRED_DRIFT),
            about=_DRIFT,
        ),
        ResultTable(
            name=CHANGES,
            title="Quality of effective weights against that of the stored ones",
            rows=pa.Table.from_pylist(changes, schema=PAIRED_CHANGE),
            about=_CHANGES,
        ),
    ]
    return Result(
        tables=tuple(table for table in tables if table.rows.num_rows),
        figures=tuple(_figures(stored, effective, drift)),
        findings=tuple(effective_findings(steps, drift, changes)),
    )


def _paired(dataset: DatasetView) -> tuple[pa.Table, pa.Table, int]:
    """Return the rows of the layers with an effective weight, stored and effective, and the number of all layers."""
    stored, effective = dataset.with_view("raw").index, dataset.with_view("effective").index
    total = stored.num_rows
    effective = effective.filter(pc.is_valid(effective["effective_sha256"]))
    # Of equal stored weights one is analyzed, whatever normalizations follow them.
    rows = pc.index_in(effective["layer_id"].combine_chunks(), stored["layer_id"].combine_chunks())
    effective = effective.filter(pc.is_valid(rows))
    stored = stored.take(rows.drop_null())
    words = pa.array([", ".join(steps) for steps in stored["effective_steps"].to_pylist()], pa.string())
    labels = {STEP_COLUMN: words, ALL: pa.array(["all"] * len(words), pa.string())}
    for name, values in labels.items():
        stored, effective = stored.append_column(name, values), effective.append_column(name, values)
    return stored, effective, total


def _histograms(
    dataset: DatasetView, stored: pa.Table, effective: pa.Table, kernel: str, columns: Sequence[str]
) -> PairedHistograms | None:
    first, second = select_kernel_size(stored, kernel), select_kernel_size(effective, kernel)
    units = layer_groups(first, columns)
    raw = dataset.with_view("raw")
    total = scaled_moments(raw, first, units).total()
    before = sketched_histograms(raw, first, units, total)
    # Weighted alike, since what differs is measured in the space of the stored kernels.
    after = sketched_histograms(dataset.with_view("effective"), second, units, total)
    if before is None or after is None:
        return None
    return PairedHistograms(kernel=kernel, units=units, space=before.space, first=before.counts, second=after.counts)


def _step_rows(stored: pa.Table, total: int) -> list[Row]:
    words, models = stored[STEP_COLUMN].to_pylist(), stored["model_id"].to_pylist()
    kernels: Counter[str] = Counter()
    for word, count in zip(words, stored["n_kernels"].to_pylist(), strict=True):
        kernels[word] += count
    return [
        {
            "steps": word,
            "models": len({model for model, other in zip(models, words, strict=True) if other == word}),
            "layers": count,
            "kernels": kernels[word],
            "share": count / total,
        }
        for word, count in sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    ]


def _figures(stored: pa.Table, effective: pa.Table, drift: Sequence[Row]) -> Iterator[Figure]:
    basis = sample_size(stored)
    yield Figure(
        name="effective_quality",
        title="Quality of effective and of stored weights",
        caption="One mark a layer, by what is done to it. On the line, both are the same. A folded batch normalization "
        "weighs filters against each other: weak ones may fall below a hundredth of the largest and count as dead.",
        basis=basis,
        table=CHANGES,
        draw=partial(
            paired_scatters,
            first={name: stored[name].to_pylist() for name in MEASURES},
            second={name: effective[name].to_pylist() for name in MEASURES},
            steps=stored[STEP_COLUMN].to_pylist(),
        ),
        height=3.4,
    )
    known = [row for row in drift if row["estimate"] is not None]
    if known:
        kernel = known[0]["kernel"]
        of_size = [row for row in known if row["kernel"] == kernel]
        top = sorted(of_size, key=lambda row: -row["drift"])[:MAX_GROUPS]
        everything = next(row for row in drift if row["kernel"] == kernel and row["column"] == ALL)
        yield Figure(
            name="effective_drift",
            title=f"Drift between effective and stored kernels, {kernel_phrase(kernel)}",
            caption=f"{_groups_phrase(len(top), len(of_size))}: the estimate "
            "with its 95 % interval, filled where the two forms differ; D as a ring. Models in brackets.",
            basis=SampleSize(kernels=everything["kernels"], layers=everything["layers"], models=everything["models"]),
            table=DRIFT,
            draw=partial(paired_intervals, rows=top),
            height=1.4 + 0.28 * len(top),
        )


def _groups_phrase(shown: int, total: int) -> str:
    """Return which of the groups with an interval a figure shows."""
    if shown < total:
        return f"The {format_plural(shown, 'group')} with the largest drift D, of {total} with an interval"
    return f"All {total} groups with an interval" if total > 1 else "The group with an interval"
