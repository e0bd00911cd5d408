"""What the saved state of a module proves about the tensors it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from filtercrawl.api.tensor import Convolution, Op
from filtercrawl_plugins.formats.pickle.objects import PickledDict, Stub, to_name

REGISTRIES: Final = ("_parameters", "_buffers", "_modules")
CONVOLUTION_SETTINGS: Final = frozenset(
    {"in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "groups"}
)

_NORM = r"((Frozen|Sync|Lazy)?BatchNorm|(Lazy)?InstanceNorm|(Group|Layer|RMS|LocalResponse)Norm)([123]d)?"
_REASONS: Final = (
    (re.compile(_NORM), "norm"),
    (re.compile(r"(NonDynamicallyQuantizable|Lazy)?Linear|Bilinear|MultiheadAttention"), "linear"),
    (re.compile(r"Embedding(Bag)?"), "embedding"),
    (re.compile(r"(LSTM|GRU|RNN)(Cell|Base)?"), "recurrent"),
    (re.compile(r"PReLU"), "activation"),
)
_CONVOLUTION: Final = re.compile(r"Conv(Transpose)?[123]d")


@dataclass(frozen=True, kw_only=True)
class SavedModule:
    """A module by the last part of its class's name, the names of what it holds, and its settings.

    settings: those of a convolution, or none; its sizes (`in_channels`, `out_channels`, `kernel_size`) may be
    missing.
    """

    cls: str
    parameters: frozenset[str] = frozenset()
    buffers: frozenset[str] = frozenset()
    settings: Mapping[str, object] = field(default_factory=dict)

    def convolution(self, name: str, shape: tuple[int, ...]) -> Convolution | None:
        """Return the convolution whose weight is the tensor `name` of this shape; None where none is."""
        rank = len(shape) - 2
        transposed, groups = self.settings.get("transposed"), self.settings.get("groups")
        if not (name.startswith("weight") and 1 <= rank <= 3 and self._fits(shape)):
            return None
        if not isinstance(transposed, bool) or not isinstance(groups, int) or not 1 <= groups < 1 << 31:
            return None
        padding = self.settings.get("padding")
        return Convolution(
            op=cast("Op", f"conv_transpose{rank}d" if transposed else f"conv{rank}d"),
            groups=groups,
            stride=spatial(self.settings.get("stride"), rank),
            padding=(0,) * rank if to_name(padding) == "valid" else spatial(padding, rank),
            dilation=spatial(self.settings.get("dilation"), rank),
            learned=True if name in self.parameters else False if name in self.buffers else None,
            source="module",
        )

    def skip_reason(self, name: str) -> str | None:
        """Say why the tensor `name`, which the module itself holds, is no kernel; None where that is open."""
        if name == "bias" and (self.settings or _CONVOLUTION.fullmatch(self.cls)):
            return "bias"
        for pattern, reason in _REASONS:
            if pattern.fullmatch(self.cls):
                return "bias" if reason == "linear" and "bias" in name else reason
        return None

    def _fits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a weight of this shape has the sizes that the settings state, if they do."""
        if "kernel_size" not in self.settings:
            return True
        kernel = integers(self.settings["kernel_size"])
        channels = integers((self.settings.get("in_channels"), self.settings.get("out_channels")))
        groups = self.settings.get("groups")
        if kernel is None or channels is None or not isinstance(groups, int) or groups < 1:
            return False
        first, second = channels if self.settings.get("transposed") else channels[::-1]
        return shape == (first, second // groups, *kernel)


def describe_module(stub: Stub) -> SavedModule:
    """Read off a module's stub what it is."""
    attributes = dict(stub.attributes())
    settings = {name: value for name, value in attributes.items() if name in CONVOLUTION_SETTINGS}
    return SavedModule(
        cls=stub.path.rpartition(".")[2],
        parameters=names(attributes.get("_parameters")),
        buffers=names(attributes.get("_buffers")),
        settings=settings if len(settings) == len(CONVOLUTION_SETTINGS) else {},
    )


def is_module(stub: Stub) -> bool:
    """Tell whether a stub carries the state of a `torch.nn.Module`."""
    held = {name for name, value in stub.attributes() if isinstance(value, PickledDict)}
    return held.issuperset(REGISTRIES)


def names(mapping: object) -> frozenset[str]:
    return frozenset(name for name, _ in mapping.items()) if isinstance(mapping, PickledDict) else frozenset()


def spatial(value: object, rank: int) -> tuple[int, ...] | None:
    """Return one number a spatial axis, as a setting states it; None for anything else."""
    numbers = integers(value)
    return numbers if numbers is not None and len(numbers) == rank else None


def integers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, tuple | list) or len(value) > 8:
        return None
    if not all(isinstance(number, int) and 0 <= number < 1 << 31 for number in value):
        return None
    return tuple(value)
