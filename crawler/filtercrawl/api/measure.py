"""Protocols of measures: statistics of a layer, computed on the device while it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """What is known of a layer before a measure sees its kernels.

    Attributes:
        shape: `[out_channels, in_channels/groups, *kernel_size]`.
        n_kernels: Number of kernels.
        taps: Spatial positions of a kernel.
        max_abs: Largest finite magnitude in the layer.
        filters_known: False if the first axis only lists kernels, so that statistics of filters are undefined.
    """

    shape: tuple[int, ...]
    n_kernels: int
    taps: int
    max_abs: float
    filters_known: bool = True


class Accumulator(Protocol):
    """Receives a layer part by part and returns its statistics at the end."""

    def update(self, weight: torch.Tensor) -> None:
        """Receive the next output channels.

        Args:
            weight: float32 `[out, in_channels/groups, *kernel_size]`, on the device of the run. Its memory is used
                again after the call.
        """
        ...

    def finish(self) -> Mapping[str, float | int | None]:
        """Return columns of `index`; None if a statistic is undefined."""
        ...


@runtime_checkable
class Sketcher(Accumulator, Protocol):
    """An accumulator that also returns a sketch: mergeable statistics for later analyses."""

    def sketch(self) -> Mapping[str, Any]:
        """Return a row of `sketches` without `layer_sha256`; called once, after `finish`."""
        ...


@runtime_checkable
class Measure(Protocol):
    """Statistics of layers that a plugin computes.

    If its accumulators are `Sketcher`s, the dataset stores their sketches. Of several such measures the first is used.
    """

    @property
    def name(self) -> str:
        """Name of the measure."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of `index` that it fills."""
        ...

    def start(self, layer: LayerSummary) -> Accumulator:
        """Return an accumulator for one layer.

        Args:
            layer: What is known of the layer before its weight is read.
        """
        ...
