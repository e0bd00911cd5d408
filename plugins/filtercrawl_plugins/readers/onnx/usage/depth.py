"""Depth of each convolution of an ONNX model: the number of convolutions on the longest path to it, and its place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import reduce
from itertools import zip_longest
from typing import Final, NamedTuple

from filtercrawl.api.convolution import Depth
from filtercrawl.extraction.architecture.depth import CallGraph, DepthState
from filtercrawl.extraction.architecture.place import CallShape
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.operators import convolution_operator, unsupported_weight_input
from filtercrawl_plugins.readers.onnx.graph.scope import Scope, iterate_scopes
from filtercrawl_plugins.readers.onnx.graph.types import Model, Node
from filtercrawl_plugins.readers.onnx.usage.effective_weight import EffectiveWeight, WeightResolver
from filtercrawl_plugins.readers.onnx.usage.map_size import PRODUCTS, MapSize, call_shape, size_after

# Bits of all ancestor sets that are joined, 256 MiB. Networks need a hundredth; above it, ancestors are not counted.
MAX_ANCESTOR_BITS: Final = 1 << 31
# Operators whose outputs are the outputs of their graphs, in the same order.
_ALIGNED_OPS: Final = frozenset({"function", "If", "Loop", "Scan", "SequenceMap"})


class _Value(NamedTuple):
    """What is known of a value: the paths that lead to it, and the size of its map."""

    paths: DepthState = DepthState()
    size: MapSize = MapSize()

    def join(self, other: _Value) -> _Value:
        """Return what is known of a value that is computed from both."""
        return _Value(self.paths.join(other.paths), self.size.join(other.size))


_CONSTANT: Final = _Value()
_INPUT: Final = _Value(size=MapSize(of_input=True))


def compute_depths(model: Model, resolver: WeightResolver, budget: Budget) -> dict[EffectiveWeight, Depth]:
    """Return the depth of each convolution.

    Paths follow values through functions, both branches of an If, and one iteration of a Loop or Scan; conditions and
    trip counts are no part of them. Every convolution counts in each context in which it is run, also if its weight is
    computed. Of several calls with one weight, the first in the order of execution counts.

    Args:
        model: The model.
        resolver: Resolves the weights.
        budget: The budget of the checkpoint.

    Returns:
        Depth by weight; {} if the nodes are not in topological order.

    Raises:
        UnsafeFileError: As `iterate_scopes`.
    """
    n_joined, n_calls = _count_joins(model, budget)
    walk = _DepthPass(resolver, counted=n_joined * n_calls <= MAX_ANCESTOR_BITS)
    try:
        walk.run(Scope(graph=model.graph, functions={(f.domain, f.name, f.overload): f for f in model.functions}), {})
    except _OutOfOrderError:
        return {}
    finished = walk.calls.finish()
    return {weight: finished.of(calls) for weight, calls in walk.calls_by_weight.items()}


class _OutOfOrderError(Exception):
    """A node uses a value that no earlier node computes."""


class _DepthPass:
    """Runs the graphs of a model symbolically: every value is the state of the paths that lead to it."""

    def __init__(self, resolver: WeightResolver, *, counted: bool) -> None:
        self._resolver = resolver
        self.calls = CallGraph(counted=counted)
        self._first_reduction: float | None = None
        self.calls_by_weight: defaultdict[EffectiveWeight, list[int]] = defaultdict(list)
        # States of the values of the current graph (last) and of the graphs around it.
        self._frames: list[dict[str, _Value]] = []

    def run(self, scope: Scope, inputs: Mapping[str, _Value]) -> list[_Value]:
        """Run a graph whose inputs have these states and return the states of its outputs."""
        # A function does not see the values of its caller.
        hidden, self._frames = (self._frames, []) if scope.call is not None else ([], self._frames)
        states = {**dict.fromkeys(scope.graph.inputs, _INPUT), **dict.fromkeys(scope.graph.tensors_by_name, _CONSTANT)}
        states.update(inputs)
        self._frames.append(states)
        for node in scope.graph.nodes:
            # Not strict: a graph with fewer outputs than its node leaves the rest undefined.
            states.update(zip(node.outputs, self._node(scope, node), strict=False))
        results = [self._find(name) for name in scope.graph.outputs]
        self._frames.pop()
        self._frames = hidden or self._frames
        return results

    def _node(self, scope: Scope, node: Node) -> list[_Value]:
        inputs = [self._find(name) for name in node.inputs]
        subscopes = list(scope.subscopes(node))
        if subscopes:
            return self._run_subscopes(scope, node, inputs, subscopes)
        value = reduce(_Value.join, inputs, _CONSTANT)
        paths = value.paths
        if _convolves(scope, node):
            operator = convolution_operator(scope, node)
            weight = self._resolver.resolve(scope, node, operator) if operator is not None else None
            if weight is not None:
                self.calls_by_weight[weight].append(len(self.calls))
            paths = self.calls.add(paths, self._shape(scope, node, weight, value.size))
        elif node.op_type in PRODUCTS:
            paths = paths.multiplied()
            if node.op_type.endswith("Attention") or sum(found.size.of_input for found in inputs) > 1:
                self.calls.attend()
        return [_Value(paths, size_after(scope, node, value.size))] * len(node.outputs)

    def _shape(self, scope: Scope, node: Node, weight: EffectiveWeight | None, size: MapSize) -> CallShape | None:
        """Return the shape of a call; None where its weight is not known."""
        if self._first_reduction is None:
            self._first_reduction = size.reduction
        shape = weight.value.shape if weight is not None else ()
        return call_shape(scope, node, shape, size.reduction / self._first_reduction, point=size.point)

    def _run_subscopes(self, scope: Scope, node: Node, inputs: list[_Value], subscopes: list[Scope]) -> list[_Value]:
        """Run the graphs of a node; its outputs depend on the outputs of the graphs at the same index."""
        op = "function" if scope.called_function(node) is not None else node.op_type
        # A loop may run zero times. How an unknown operator connects its inputs and graphs is unknown.
        results = [_CONSTANT] * len(node.outputs)
        if op == "Loop":
            results = inputs[2:]
        elif op not in _ALIGNED_OPS:
            results = [reduce(_Value.join, inputs, _CONSTANT)] * len(node.outputs)
        for subscope in subscopes:
            outputs = self.run(subscope, _bind_inputs(op, subscope.graph.inputs, inputs))
            if op == "Loop":
                outputs = outputs[1:]  # the first is the condition
            elif op not in _ALIGNED_OPS:
                outputs = [reduce(_Value.join, outputs, _CONSTANT)] * len(results)
            results = [a.join(b) for a, b in zip_longest(results, outputs, fillvalue=_CONSTANT)]
        return results[: len(node.outputs)]

    def _find(self, name: str) -> _Value:
        if not name:
            return _CONSTANT
        for states in reversed(self._frames):
            if name in states:
                return states[name]
        raise _OutOfOrderError


def _bind_inputs(op: str, names: tuple[str, ...], inputs: list[_Value]) -> dict[str, _Value]:
    """Return the states of a graph's inputs; they are the last inputs of its node."""
    if op == "function":
        return dict(zip(names, inputs, strict=False))  # trailing inputs may be omitted
    if op == "Loop":
        return dict(zip(names[2:], inputs[2:], strict=False))  # without trip count and condition
    return dict(zip(reversed(names), reversed(inputs), strict=False))


def _convolves(scope: Scope, node: Node) -> bool:
    """Return whether a node is a convolution in any layout; a deformable one does not count."""
    if convolution_operator(scope, node) is not None:
        return True
    return unsupported_weight_input(scope, node) is not None and "Deform" not in node.op_type


def _count_joins(model: Model, budget: Budget) -> tuple[int, int]:
    """Return how many values are inputs and outputs of nodes, and how many nodes convolve."""
    n_joined = n_calls = 0
    for scope in iterate_scopes(model, budget):
        for node in scope.graph.nodes:
            n_joined += len(node.inputs) + len(node.outputs)
            n_calls += "Conv" in node.op_type
    budget.spend(n_joined)
    return n_joined, n_calls
