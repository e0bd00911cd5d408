"""What the pickled state of a `torch.nn.Module` proves about its tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from filtercrawl.api.convolution import Convolution, Op
from filtercrawl_plugins.formats.pickle.objects import PickledDict, Stub, to_name
from filtercrawl_plugins.readers.torch.quantized_state import state_by_name
from filtercrawl_plugins.readers.torch.weight_uses import WeightUses

# Attributes of every module: dictionaries of its parameters, buffers and submodules.
REGISTRIES: Final = ("_parameters", "_buffers", "_modules")
# Attributes of `torch.nn.modules.conv._ConvNd`.
CONVOLUTION_SETTINGS: Final = frozenset(
    {"in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "groups"}
)
_NORM = r"((Frozen|Sync|Lazy)?BatchNorm|(Lazy)?InstanceNorm|(Group|Layer|RMS|LocalResponse)Norm)([123]d)?"
# Reasons of the ledger by the class of the module that holds a tensor.
_REASONS: Final = (
    (re.compile(_NORM), "norm"),
    (re.compile(r"(NonDynamicallyQuantizable|Lazy)?Linear|Bilinear|MultiheadAttention"), "linear"),
    (re.compile(r"Embedding(Bag)?"), "embedding"),
    (re.compile(r"(LSTM|GRU|RNN)(Cell|Base)?"), "recurrent"),
    (re.compile(r"PReLU"), "activation"),
)
_CONVOLUTION: Final = re.compile(r"Conv(Transpose)?[123]d")
# Names of weights of convolutions, raw ones of `torch.nn.utils` included; a mask has the shape of a weight too.
_WEIGHT: Final = re.compile(r"weight(_orig|_v|_bar|_raw|_v_orig|_orig_orig)?")
# Operators that combine inputs and kernels in another way than by a sum of products.
_OTHER_OPERATOR: Final = re.compile(
    r"adder|add(er)?[12]d|kerv|kernel_?conv|rbf|radial|euclid|manhattan|mahalanobis|l[12]_?(conv|dist|norm|layer|[123]d)"
    r"|cos(ine)?_?(sim|conv)|morpholog|erosion|max_?plus|min_?plus|tropical|distance",
    re.IGNORECASE,
)
# Convolutions that compute their weight from the raw one at run time.
_RAW_WEIGHT: Final = re.compile(
    r"(Scaled)?Std(_?)Conv|^A?WS_?Conv|Conv([123]d)?_?A?WS|StandardConv|WeightStandard|WeightNorm|Spectral|^SN_?Conv"
    r"|Equali[sz]ed|^Equal|EqualLR|Modulated|Binar|XNOR|Ternar|DoReFa|LSQ|Quant",
)
# Modules of any content: a traced graph keeps the weights of functions in them.
_ANONYMOUS: Final = frozenset({"", "Module", "GraphModule", "InterpreterModule", "ScriptModule", "ParameterDict"})


@dataclass(frozen=True, kw_only=True)
class SavedModule:
    """A module as its pickled state describes it.

    Attributes:
        cls: Name of its class, without the package.
        parameters: Names of its parameters.
        buffers: Names of its buffers.
        settings: Attributes of a convolution, or {} for any other module. `in_channels`, `out_channels` and
            `kernel_size` may be missing.
        uses: For modules with code: how it uses its attributes as weights of convolutions.
        eps: What it adds to a variance; None where it does not say.
    """

    cls: str
    parameters: frozenset[str] = frozenset()
    buffers: frozenset[str] = frozenset()
    settings: Mapping[str, object] = field(default_factory=dict)
    uses: WeightUses | None = None
    eps: float | None = None

    def variance_eps(self, name: str) -> float | None:
        """Return what the module adds to its running variance, where the attribute `name` is that; else None."""
        return self.eps if name == "running_var" else None

    def convolution(self, name: str, shape: tuple[int, ...]) -> Convolution | None:
        """Return the convolution whose weight is the attribute `name` of this shape, None if it is no such weight."""
        rank = len(shape) - 2
        if not self.settings and self.uses is not None and (name not in self.buffers or _WEIGHT.fullmatch(name)):
            return self.uses.convolution(name, rank, learned=self._learned(name))
        transposed, groups = self.settings.get("transposed"), self.settings.get("groups")
        if not (_WEIGHT.fullmatch(name) and 1 <= rank <= 3 and self._has_stated_sizes(shape)):
            return None
        if not isinstance(transposed, bool) or not isinstance(groups, int) or not 1 <= groups < 1 << 31:
            return None
        if _OTHER_OPERATOR.search(self.cls) or (self.uses is not None and name in self.uses.unproven):
            return None
        padding = self.settings.get("padding")
        return Convolution(
            op=cast("Op", f"conv_transpose{rank}d" if transposed else f"conv{rank}d"),
            groups=groups,
            stride=_sizes_of_rank(self.settings.get("stride"), rank),
            padding=(0,) * rank if to_name(padding) == "valid" else _sizes_of_rank(padding, rank),
            dilation=_sizes_of_rank(self.settings.get("dilation"), rank),
            learned=self._learned(name),
            source="module",
        )

    def weight_kind(self, name: str) -> str | None:
        """Return `standardized` for a weight that the module computes another one from, None if it does not tell."""
        computed = self.uses is not None and name in self.uses.computed_from
        return "standardized" if computed or (_WEIGHT.fullmatch(name) and _RAW_WEIGHT.search(self.cls)) else None

    def skip_reason(self, name: str, rank: int) -> str | None:
        """Return why the attribute `name` of this module is no kernel, None if the module does not tell.

        A weight of a class that is no convolution is none, unless its code convolves.

        Args:
            name: Name of the attribute.
            rank: Number of its axes.
        """
        if name == "bias" and (self.settings or _CONVOLUTION.fullmatch(self.cls)):
            return "bias"
        for pattern, reason in _REASONS:
            if pattern.fullmatch(self.cls):
                return "bias" if reason == "linear" and "bias" in name else reason
        if not _WEIGHT.fullmatch(name) or not 3 <= rank <= 5:
            return None
        if self.uses is not None:
            return None if self.uses.may_convolve(name) else "nonstandard_operator"
        named = "conv" in self.cls.lower() and not _OTHER_OPERATOR.search(self.cls)
        return None if named or self.cls in _ANONYMOUS else "nonstandard_operator"

    def _learned(self, name: str) -> bool | None:
        return True if name in self.parameters else False if name in self.buffers else None

    def _has_stated_sizes(self, shape: tuple[int, ...]) -> bool:
        """Return whether a weight has the channels and kernel size that the settings state, if they state any."""
        if "kernel_size" not in self.settings:
            return True
        kernel = _integers(self.settings["kernel_size"])
        channels = _integers((self.settings.get("in_channels"), self.settings.get("out_channels")))
        groups = self.settings.get("groups")
        if kernel is None or channels is None or not isinstance(groups, int) or groups < 1:
            return False
        first, second = channels if self.settings.get("transposed") else channels[::-1]
        return shape == (first, second // groups, *kernel)


def describe_module(stub: Stub) -> SavedModule:
    """Describe a module by the attributes of its stub."""
    attributes = state_by_name(stub) or stub.attributes()
    settings = {name: attributes[name] for name in CONVOLUTION_SETTINGS if name in attributes}
    eps = attributes.get("eps")
    return SavedModule(
        cls=stub.path.rpartition(".")[2],
        eps=float(eps) if isinstance(eps, float | int) and math.isfinite(eps) and eps >= 0 else None,
        parameters=_keys(attributes.get("_parameters")),
        buffers=_keys(attributes.get("_buffers")),
        settings=settings if len(settings) == len(CONVOLUTION_SETTINGS) else {},
    )


def is_module(stub: Stub) -> bool:
    """Return whether a stub has the state of a `torch.nn.Module`, all three registries, or of a quantized one."""
    if state_by_name(stub):
        return True
    attributes = stub.attributes()
    return all(isinstance(attributes.get(name), PickledDict) for name in REGISTRIES)


def _keys(mapping: object) -> frozenset[str]:
    return frozenset(name for name, _ in mapping.items()) if isinstance(mapping, PickledDict) else frozenset()


def _sizes_of_rank(value: object, rank: int) -> tuple[int, ...] | None:
    """Return a setting as one number per spatial axis, None if it is anything else."""
    sizes = _integers(value)
    return sizes if sizes is not None and len(sizes) == rank else None


def _integers(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, tuple | list) or len(value) > 8:
        return None
    if not all(isinstance(number, int) and 0 <= number < 1 << 31 for number in value):
        return None
    return tuple(value)
