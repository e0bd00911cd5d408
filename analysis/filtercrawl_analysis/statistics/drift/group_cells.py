"""The groups of a column: their sizes, their histograms by model, and the strata of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from filtercrawl_analysis.statistics.components.coefficients import CoefficientHistograms
from filtercrawl_analysis.statistics.drift.model_histograms import Indices, ModelGroupHistograms
from filtercrawl_analysis.statistics.groups.labels import LayerGroups

Row = dict[str, Any]

# Smaller groups leave most of their 70 bins empty, so that their drift would reflect their size.
MIN_KERNELS: Final = 100


def group_row(column: str, kernel: str, name: str, units: LayerGroups) -> Row:
    """Return the row of a group in the table of groups."""
    members = [i for i, label in enumerate(units.labels[column]) if label == name]
    kernels = int(units.kernels[members].sum())
    return {
        "column": column,
        "kernel": kernel,
        "group": name,
        "models": len({units.labels["model_id"][i] for i in members}),
        "architectures": len({units.labels["architecture"][i] for i in members} - {None}),
        "layers": int(units.layers[members].sum()),
        "kernels": kernels,
        "compared": kernels >= MIN_KERNELS,
    }


def group_cells(
    units: LayerGroups, labels: Sequence[str | None], names: Sequence[str], histograms: CoefficientHistograms
) -> tuple[ModelGroupHistograms, list[int]]:
    """Add up the histograms of units by group and model, in this order whatever the order of units.

    Returns:
        The cells, and one unit of each, which has its labels.
    """
    code = {name: i for i, name in enumerate(names)}
    models = {name: i for i, name in enumerate(sorted({str(name) for name in units.labels["model_id"]}))}
    members: dict[tuple[int, int], list[int]] = {}
    for unit, (label, model) in enumerate(zip(labels, units.labels["model_id"], strict=True)):
        if label in code and histograms.counts[unit].any():
            members.setdefault((code[label], models[str(model)]), []).append(unit)
    keys = sorted(members)
    counts = np.zeros((len(keys), *histograms.counts.shape[1:]))
    for cell, key in enumerate(keys):
        counts[cell] = histograms.counts[members[key]].sum(0)
    cells = ModelGroupHistograms(
        group=np.array([group for group, _ in keys], np.int64),
        model=np.array([model for _, model in keys], np.int64),
        counts=counts,
        bin_width=histograms.space.bin_width,
        weights=histograms.space.weights,
        n_groups=len(names),
    )
    return cells, [members[key][0] for key in keys]


def stratum_codes(labels: Sequence[str | None], cell_units: Sequence[int]) -> Indices:
    """Return the stratum of each cell, in alphabetical order; -1 where it is unknown."""
    of_cells = [labels[unit] for unit in cell_units]
    codes = {name: i for i, name in enumerate(sorted({name for name in of_cells if name is not None}))}
    return np.array([-1 if name is None else codes[name] for name in of_cells], np.int64)
