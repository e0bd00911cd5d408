"""Statistics of a layer, made while its kernels stream by on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class LayerSummary:
    """What is known of a layer before its kernels are shown to a measure.

    shape: [out_channels, in_channels/groups, *kernel_size]. max_abs: the largest finite magnitude of the layer.
    filters_known: False where the first axis merely lists kernels, so that nothing can be said of filters.
    """

    shape: tuple[int, ...]
    n_kernels: int
    taps: int
    max_abs: float
    filters_known: bool = True


class Accumulator(Protocol):
    """Takes a layer part by part and gives its statistics at the end."""

    def update(self, weight: torch.Tensor) -> None:
        """Take the next output channels: float32 [out, in_channels/groups, *kernel_size] on the device."""
        ...

    def finish(self) -> Mapping[str, float | int | None]:
        """Return columns of `index`; None where a statistic is not defined."""
        ...


@runtime_checkable
class Sketcher(Accumulator, Protocol):
    """An accumulator that also gives what is kept of the layer beside its weights, for later analyses."""

    def sketch(self) -> Mapping[str, Any]:
        """Return a row of the schema SKETCHES without layer_sha256; called once, after `finish`."""
        ...


@runtime_checkable
class Measure(Protocol):
    """A plugin's statistics; `columns` names the columns of `index` that it fills.

    Where its accumulators are Sketchers, the dataset keeps their sketches; those of the first measure that has any.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    def start(self, layer: LayerSummary) -> Accumulator: ...
