"""Drift between two forms of the same layers, by group: each model is compared with itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.statistics.components.coefficients import CoefficientSpace
from filtercrawl_analysis.statistics.drift.divergence import component_divergence, paired_drift
from filtercrawl_analysis.statistics.drift.group_cells import MIN_KERNELS, Row
from filtercrawl_analysis.statistics.drift.inference import DriftInference, draws_of_table, infer_drift, judge
from filtercrawl_analysis.statistics.drift.model_histograms import (
    ModelGroupHistograms,
    group_distributions,
    single_stratum,
)
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, ordered_labels
from filtercrawl_analysis.statistics.groups.resampling import random_generator

PAIRED_DRIFT = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group", "verdict")),
        *(pa.field(name, pa.float64()) for name in ("drift", "estimate", "low", "high", "p", "q", "detectable")),
        pa.field("note", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")),
        pa.field("by_component", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PairedHistograms:
    """Histograms of coefficients of the same units in two forms.

    Attributes:
        kernel: The kernel size of all layers.
        units: Layers combined into units.
        space: The basis and the bins, those of the first form.
        first: Counts of the first form, int64 [units, components, bins].
        second: Counts of the second form.
    """

    kernel: str
    units: LayerGroups
    space: CoefficientSpace
    first: NDArray[np.int64]
    second: NDArray[np.int64]


def paired_drift_rows(
    sizes: Sequence[PairedHistograms], columns: Sequence[str], resamples: int, seed: int
) -> list[Row]:
    """Return a row of PAIRED_DRIFT for each kernel size and group of at least 100 kernels.

    The test exchanges the two forms within models; verdicts are adjusted over all rows.

    Args:
        sizes: The histograms of each kernel size.
        columns: Columns of the units whose groups are compared.
        resamples: Most random exchanges of each test that were asked for.
        seed: Seed of all random numbers.
    """
    found: list[tuple[Row, ModelGroupHistograms]] = []
    for histograms in sizes:
        for column in columns:
            found += _groups(histograms, column)
    draws = draws_of_table(resamples, len(found))
    inferences: list[DriftInference] = []
    for row, cells in found:
        random = random_generator(seed, row["column"], row["kernel"], row["group"])
        inferences.append(infer_drift(cells, single_stratum(cells, 0, 1), draws, random))
    rows = []
    for (row, _), inference, judged in zip(found, inferences, judge(inferences), strict=True):
        told = {"verdict": judged.verdict, "q": judged.q_value, "detectable": judged.detectable, "note": judged.reason}
        ends = {"estimate": inference.estimate, "low": inference.low, "high": inference.high, "p": inference.p_value}
        rows.append(row | told | ends)
    return rows


def _groups(histograms: PairedHistograms, column: str) -> Iterator[tuple[Row, ModelGroupHistograms]]:
    units, space = histograms.units, histograms.space
    labels = units.labels[column]
    for name in ordered_labels(labels, units.kernels):
        members = [unit for unit, label in enumerate(labels) if label == name]
        kernels = int(units.kernels[members].sum())
        models = sorted({str(units.labels["model_id"][unit]) for unit in members})
        if kernels < MIN_KERNELS:
            continue
        place = {model: i for i, model in enumerate(models)}
        counts = np.zeros((2 * len(models), *histograms.first.shape[1:]))
        for unit in members:
            i = place[str(units.labels["model_id"][unit])]
            counts[i] += histograms.first[unit]
            counts[len(models) + i] += histograms.second[unit]
        known = np.flatnonzero(counts[: len(models)].any((1, 2)) & counts[len(models) :].any((1, 2)))
        if not len(known):
            continue
        cells = ModelGroupHistograms(
            group=np.repeat([0, 1], len(known)),
            model=np.tile(known, 2),
            counts=counts[np.concatenate([known, len(models) + known])],
            bin_width=space.bin_width,
            weights=space.weights,
            n_groups=2,
        )
        p, q = group_distributions(cells)
        row: Row = {"column": column, "kernel": histograms.kernel, "group": name}
        row |= {"models": len(models), "layers": int(units.layers[members].sum()), "kernels": kernels}
        row |= {"drift": float(paired_drift(p, q, space.weights)), "by_component": component_divergence(p, q).tolist()}
        yield row, cells
