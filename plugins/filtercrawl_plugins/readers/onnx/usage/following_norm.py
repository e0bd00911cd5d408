"""The batch normalization behind a convolution, and whether an exporter has folded it into the weight."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.scope import Scope, iterate_scopes
from filtercrawl_plugins.readers.onnx.graph.tensor_names import NamedTensor
from filtercrawl_plugins.readers.onnx.graph.types import Model, Node
from filtercrawl_plugins.readers.onnx.usage.weight_uses import ConvolutionUse

_CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
# https://onnx.ai/onnx/operators/onnx__BatchNormalization.html
_DEFAULT_EPS: Final = 1e-5
# Names that torch's exporter gives to what it computes; only the fusion of a convolution with a batch normalization
# makes a weight and a bias (`fuseConvBatchNorm` in torch/csrc/jit/passes/onnx/eval_peephole.cpp).
_COMPUTED: Final = re.compile(r"onnx::Conv(?:Transpose)?_(\d+)")


@dataclass(frozen=True, kw_only=True)
class ConvolutionOutput:
    """What the graph shows of the output of a convolution.

    Attributes:
        norm: The batch normalization that alone takes it; None if there is none.
        bias: Name of the tensor that is added to it; None for no bias.
        bn_folded: Whether a batch normalization is folded into weight and bias; None where it is unknown.
    """

    norm: FollowingNorm | None = None
    bias: str | None = None
    bn_folded: bool | None = None


@dataclass(frozen=True, kw_only=True)
class NormFinder:
    """Looks for batch normalizations.

    Attributes:
        names: Names of the tensors by the start of their message.
        eps: What is added to each variance, by the start of its message; of those that have one value.
    """

    names: Mapping[int, str]
    eps: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of_model(cls, model: Model, tensors: Iterable[NamedTensor], budget: Budget) -> NormFinder:
        """Return the finder of a model; raises UnsafeFileError as `iterate_scopes`."""
        names = {named.tensor.message.start: named.name for named in tensors}
        found: dict[int, set[float]] = defaultdict(set)
        for scope in iterate_scopes(model, budget):
            for node in scope.graph.nodes:
                variance = _tensor_start(scope, node.input(4))
                if _is_norm(scope, node) and variance is not None:
                    found[variance].add(_eps(scope, node))
        return cls(names=names, eps={start: next(iter(eps)) for start, eps in found.items() if len(eps) == 1})

    def output(self, use: ConvolutionUse, weight: str) -> ConvolutionOutput:
        """Return what the graph shows of the output of a convolution.

        Args:
            use: Its node.
            weight: Name of the tensor with its weight.
        """
        scope, node = use.scope, use.node
        if node.op_type not in _CONVOLUTIONS or node.domain or use.n_calls != 1:
            return ConvolutionOutput()
        bias_input = node.input(2)
        bias = self._name(scope, bias_input)
        if bias_input and bias is None:
            return ConvolutionOutput()
        norm = self._norm(scope, node)
        folded = False if norm is not None else None
        if norm is None and bias is not None and _is_fused(weight, bias):
            folded = True
        return ConvolutionOutput(norm=norm, bias=bias, bn_folded=folded)

    def _norm(self, scope: Scope, node: Node) -> FollowingNorm | None:
        value = node.outputs[0] if node.outputs else ""
        graph = scope.graph
        consumers = graph.consumers.get(value, [])
        if len(consumers) != 1 or value in graph.output_names or value in graph.captured:
            return None
        norm = consumers[0]
        if not _is_norm(scope, norm) or norm.inputs[0] != value or norm.inputs.count(value) > 1:
            return None
        scale, offset, mean, variance = (self._name(scope, name) for name in norm.inputs[1:5])
        if None in (scale, offset, mean, variance):
            return None
        path = norm.name or (variance or "").rpartition(".")[0]
        return FollowingNorm(path=path, scale=scale, offset=offset, mean=mean, variance=variance)

    def _name(self, scope: Scope, value: str) -> str | None:
        start = _tensor_start(scope, value)
        return None if start is None else self.names.get(start)


def _tensor_start(scope: Scope, value: str) -> int | None:
    """Return the start of the message of the tensor that a value is, None for a computed one."""
    found = scope.find(value)
    return None if found is None or isinstance(found[1], Node) else found[1].message.start


def _is_norm(scope: Scope, node: Node) -> bool:
    """Return whether a node is a batch normalization by stored statistics."""
    if node.op_type != "BatchNormalization" or node.domain or scope.called_function(node) is not None:
        return False
    training = scope.attribute(node, "training_mode")
    return len(node.inputs) == 5 and sum(map(bool, node.outputs)) == 1 and (training is None or not training.i)


def _eps(scope: Scope, node: Node) -> float:
    attribute = scope.attribute(node, "epsilon")
    return _DEFAULT_EPS if attribute is None else float(struct.unpack("<f", attribute.f)[0])


def _is_fused(weight: str, bias: str) -> bool:
    """Return whether torch's exporter made both a weight and, right after it, its bias."""
    first, second = _COMPUTED.fullmatch(weight), _COMPUTED.fullmatch(bias)
    return first is not None and second is not None and int(second[1]) == int(first[1]) + 1
