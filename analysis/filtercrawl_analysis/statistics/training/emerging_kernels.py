"""The same kernels of one layer at several steps of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from filtercrawl.api.analysis import TrainingStep
from filtercrawl_analysis.numerics.moments import Array

Row = dict[str, Any]

# Steps shown, evenly spread over those that there are, and kernels.
MAX_STEPS: Final = 10
MAX_KERNELS: Final = 12
# A layer of more numbers is not read for a picture.
MAX_NUMBERS: Final = 4_194_304


@dataclass(frozen=True, kw_only=True)
class EmergingKernels:
    """Kernels of a layer over the steps of a run.

    Attributes:
        layer: Name of the layer.
        kernel_size: Height and width.
        steps: The steps.
        kernels: The kernels, float64 [kernels, steps, taps].
        n_kernels: Number of kernels of the layer.
    """

    layer: str
    kernel_size: tuple[int, int]
    steps: tuple[int, ...]
    kernels: Array
    n_kernels: int


def emerging_kernels(steps: Sequence[TrainingStep]) -> EmergingKernels | None:
    """Return those kernels of the first layer of a run that have the largest norm at its last step.

    The first layer is the one that the graph says is first, else one of few input channels, else one of large kernels.

    Args:
        steps: The steps of one run.

    Returns:
        None where no two steps have a two-dimensional layer of that name and size.
    """
    chosen = _first_layer(steps[-1].dataset.index.to_pylist())
    if chosen is None:
        return None
    found: dict[int, str] = {}
    for step in steps:
        for row in step.dataset.index.select(["tensor", "bank_index", "shape", "layer_sha256"]).to_pylist():
            if all(row[name] == chosen[name] for name in ("tensor", "bank_index", "shape")):
                found[step.step] = row["layer_sha256"]
    if len(found) < 2:
        return None
    places = np.unique(np.linspace(0, len(found) - 1, MAX_STEPS).round().astype(int))
    shown = {step: found[step] for step in np.array(list(found))[places].tolist()}
    parts: dict[str, list[Array]] = {}
    for digest, part in steps[-1].dataset.kernels(list(shown.values())):
        parts.setdefault(digest, []).append(part.astype(np.float64))
    every = np.stack([np.concatenate(parts[digest]) for digest in shown.values()], axis=1)
    norms = np.linalg.norm(np.nan_to_num(every[:, -1]), axis=-1)
    largest = np.sort(np.argsort(-norms, kind="stable")[:MAX_KERNELS])
    return EmergingKernels(
        layer=chosen["layer"],
        kernel_size=tuple(chosen["kernel_size"]),
        steps=tuple(shown),
        kernels=every[largest],
        n_kernels=chosen["n_kernels"],
    )


def _first_layer(rows: Sequence[Row]) -> Row | None:
    pictured = [
        row
        for row in rows
        if len(row["kernel_size"]) == 2 and row["taps"] > 1 and row["n_kernels"] * row["taps"] <= MAX_NUMBERS
    ]
    return min(
        pictured,
        key=lambda row: (not row["is_first"], (row["in_channels"] or MAX_NUMBERS) > 4, -row["taps"], row["layer_id"]),
        default=None,
    )
