"""What a module proves about the tensors in its state dict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from filtercrawl.api.convolution import Convolution, Depth, FollowingNorm, Op, Standardization
from filtercrawl.extraction.state_dict_names import split_parameter_name

_NORMS: Final = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# Convolutions of timm that standardize their weights, and nothing else.
_STANDARDIZED: Final = frozenset({"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"})
_LINEARS: Final = (nn.Linear, nn.Bilinear, nn.MultiheadAttention)
_REASONS: Final[tuple[tuple[tuple[type[nn.Module], ...], str], ...]] = (
    (_NORMS, "norm"),
    (_LINEARS, "linear"),
    ((nn.Embedding, nn.EmbeddingBag), "embedding"),
    ((nn.RNNBase, nn.RNNCellBase), "recurrent"),
    ((nn.PReLU,), "activation"),
)


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """Facts about one tensor of a state dict.

    Attributes:
        shape: Shape in the state dict.
        layer: Path of its module.
        convolution: The first call; `n_calls` is 0 if the network in eval mode never calls it, and None if it was not
            run.
        depth: Position in the graph.
        weight_kind: `learned`, `fixed`, `dynamic_bank`, `standardized` or `dense_as_conv`.
        bank: Shape of one expert, `[out, in/groups, *k]`, if the tensor is a bank of kernels along its first axis.
        reason: Why it is no kernel, a reason of the ledger.
        norm: The batch normalization that alone takes the output of the convolution, in each of its calls.
        standardization: How the module standardizes the weight.
        eps: What is added to a variance, where the tensor is the running variance of a normalization.
        bn_folded: Whether a checkpoint has that normalization folded into the weight; None in the facts of a network.
    """

    shape: tuple[int, ...]
    layer: str
    convolution: Convolution | None = None
    depth: Depth | None = None
    weight_kind: str | None = None
    bank: tuple[int, ...] | None = None
    reason: str | None = None
    norm: FollowingNorm | None = None
    standardization: Standardization | None = None
    eps: float | None = None
    bn_folded: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The structure of a network.

    Attributes:
        facts: Facts by the names of the state dict, in its order. A tensor without a convolution is known to be no
            kernel.
        problem: Why the network could not be run, in one line. There are no depths then, and convolutions are those of
            its
            modules. None if it was run.
    """

    facts: Mapping[str, TensorFacts] = field(default_factory=dict)
    problem: str | None = None

    def convolutions(self) -> Iterator[tuple[str, TensorFacts, Convolution]]:
        """Yield name, facts and convolution of each tensor that is the weight of a convolution."""
        for name, facts in self.facts.items():
            if facts.convolution is not None:
                yield name, facts, facts.convolution


def attributes(module: nn.Module, leaf: str, learned: bool | None) -> Convolution | None:
    """Return the convolution of the module that holds a weight; None if `leaf` is no weight of a convolution."""
    if not isinstance(module, _ConvNd) or leaf != "weight" or not isinstance(module.stride, tuple):
        return None
    rank = len(module.kernel_size)
    kind = "conv_transpose" if module.transposed else "conv"
    return Convolution(
        op=cast("Op", f"{kind}{rank}d"),
        groups=module.groups,
        stride=tuple(module.stride),
        padding=_padding(module),
        dilation=tuple(module.dilation),
        learned=learned,
        source="module",
    )


def _padding(module: _ConvNd) -> tuple[int, ...]:
    if not isinstance(module.padding, str):
        return tuple(module.padding)
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    begins = tuple(total // 2 for total in totals)
    ends = tuple(total - begin for total, begin in zip(totals, begins, strict=True))
    return begins if begins == ends else begins + ends


def exclusion_reason(module: nn.Module, leaf: str) -> str | None:
    """Return why a tensor that the module holds is no kernel; None if its class proves nothing."""
    if isinstance(module, _ConvNd):
        return "bias" if leaf == "bias" else None
    for classes, word in _REASONS:
        if isinstance(module, classes):
            return "bias" if word == "linear" and "bias" in leaf else word
    return None


def standardization(path: str, module: nn.Module, leaf: str) -> Standardization | None:
    """Return how a module of timm standardizes its weight, None if it does not."""
    if leaf != "weight" or not isinstance(module, _ConvNd):
        return None
    names = {base.__name__ for base in type(module).__mro__}
    eps, factor = getattr(module, "eps", None), getattr(module, "scale", 1.0)
    if not names & _STANDARDIZED or not isinstance(eps, float) or not isinstance(factor, float):
        return None
    gain = f"{path}.gain" if path else "gain"
    return Standardization(eps=eps, factor=factor, gain=gain if hasattr(module, "gain") else None)


def variance_eps(module: nn.Module, leaf: str) -> float | None:
    """Return what a module adds to the variance that `leaf` names; None if that is no running variance."""
    eps = getattr(module, "eps", None)
    return eps if leaf == "running_var" and isinstance(eps, float) else None


def owning_module(name: str, modules: Mapping[str, nn.Module]) -> tuple[str, nn.Module | None]:
    """Return the path and the module of a tensor; of a parametrized one, the module that is parametrized."""
    path = split_parameter_name(name)[0]
    # A name may start as a wrapper does; the module then has it in full.
    path = path if path in modules else name.rpartition(".")[0]
    return path, modules.get(path)
