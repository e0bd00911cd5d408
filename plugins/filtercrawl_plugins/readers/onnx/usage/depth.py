"""How deep each convolution of an ONNX model stands, by the graph that leads to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import reduce
from itertools import zip_longest
from typing import Final

from filtercrawl.api.tensor import Depth
from filtercrawl.extraction.architecture.depth import CallGraph, DepthState
from filtercrawl_plugins.readers.onnx.graph.operators import convolution_operator, unsupported_weight_input
from filtercrawl_plugins.readers.onnx.graph.provenance import find_origin
from filtercrawl_plugins.readers.onnx.graph.scope import Scope, iterate_scopes
from filtercrawl_plugins.readers.onnx.graph.types import Model, Node

# Bits of all trails together, 256 MiB: networks need a hundredth, and beyond it ancestors are not counted.
MOST_BITS: Final = 1 << 31
# Whose outputs are those of their graphs, each at its place.
_ALIGNED: Final = frozenset({"function", "If", "Loop", "Scan", "SequenceMap"})
_NOWHERE: Final = DepthState()


def compute_depths(model: Model, file: str) -> dict[int, Depth]:
    """Return the depth of each tensor that is a convolution's weight, by the start of its message.

    Paths run along values, through functions, both branches of an If and one round of a Loop or Scan; what decides
    whether and how often a graph runs is no part of them. Every convolution counts wherever it is run, also one
    whose weight is no tensor of the file; of several calls of one weight the first one in the order of execution.
    Nothing is returned where nodes are not in the order that ONNX demands. Raises UnsupportedError as `scopes` does.
    """
    n_values, n_calls = _size(model, file)
    walk = _DepthPass(counted=n_values * n_calls <= MOST_BITS)
    try:
        walk.run(Scope(graph=model.graph, functions={(f.domain, f.name, f.overload): f for f in model.functions}), {})
    except _OutOfOrderError:
        return {}
    finished = walk.calls.finish()
    return {start: finished.of(calls[0], calls[-1]) for start, calls in walk.used.items()}


class _OutOfOrderError(Exception):
    pass


class _DepthPass:
    """Runs the graphs of a model with trails for values."""

    def __init__(self, *, counted: bool) -> None:
        self.calls = CallGraph(counted=counted)
        self.used: defaultdict[int, list[int]] = defaultdict(list)
        # Of a graph that runs, the trails of its values; the graphs around it are below.
        self._known: list[dict[str, DepthState]] = []

    def run(self, scope: Scope, inputs: Mapping[str, DepthState]) -> list[DepthState]:
        """Run a graph whose inputs have these trails; return those of its outputs."""
        # A function sees nothing of where it is called.
        hidden, self._known = (self._known, []) if scope.call is not None else ([], self._known)
        known = {**dict.fromkeys((*scope.graph.inputs, *scope.graph.tensors_by_name), _NOWHERE), **inputs}
        self._known.append(known)
        for node in scope.graph.nodes:
            # Of a graph that gives too little the rest stays unknown.
            known.update(zip(node.outputs, self._node(scope, node), strict=False))
        results = [self._find(name) for name in scope.graph.outputs]
        self._known.pop()
        self._known = hidden or self._known
        return results

    def _node(self, scope: Scope, node: Node) -> list[DepthState]:
        given = [self._find(name) for name in node.inputs]
        inner = list(scope.subscopes(node))
        if inner:
            return self._inner(scope, node, given, inner)
        trail = reduce(DepthState.join, given, _NOWHERE)
        if _convolves(scope, node):
            operator = convolution_operator(scope, node)
            held = find_origin(scope, node.input(operator.weight)) if operator is not None else None
            if held is not None:
                self.used[held.tensor.message.start].append(len(self.calls))
            trail = self.calls.add(trail)
        return [trail] * len(node.outputs)

    def _inner(self, scope: Scope, node: Node, given: list[DepthState], inner: list[Scope]) -> list[DepthState]:
        """Run what a node holds; each of its outputs depends on the graphs' outputs at the same place."""
        op = "function" if scope.called_function(node) is not None else node.op_type
        # A loop may run no round at all; of another operator than ONNX's own nobody knows what goes where.
        results = [_NOWHERE] * len(node.outputs)
        if op == "Loop":
            results = given[2:]
        elif op not in _ALIGNED:
            results = [reduce(DepthState.join, given, _NOWHERE)] * len(node.outputs)
        for deeper in inner:
            outputs = self.run(deeper, _passed(op, deeper.graph.inputs, given))
            if op == "Loop":
                outputs = outputs[1:]  # the first says whether to go on
            elif op not in _ALIGNED:
                outputs = [reduce(DepthState.join, outputs, _NOWHERE)] * len(results)
            results = [a.join(b) for a, b in zip_longest(results, outputs, fillvalue=_NOWHERE)]
        return results[: len(node.outputs)]

    def _find(self, name: str) -> DepthState:
        if not name:
            return _NOWHERE
        for known in reversed(self._known):
            if name in known:
                return known[name]
        raise _OutOfOrderError


def _passed(op: str, names: tuple[str, ...], given: list[DepthState]) -> dict[str, DepthState]:
    """Return the trails of a graph's inputs, which are the last ones of its node's."""
    if op == "function":
        return dict(zip(names, given, strict=False))  # the last ones may be left out
    if op == "Loop":
        return dict(zip(names[2:], given[2:], strict=False))  # not how often, and whether
    return dict(zip(reversed(names), reversed(given), strict=False))


def _convolves(scope: Scope, node: Node) -> bool:
    """Tell whether a node is a convolution of any layout; a deformable one is an operator of its own."""
    if convolution_operator(scope, node) is not None:
        return True
    return unsupported_weight_input(scope, node) is not None and "Deform" not in node.op_type


def _size(model: Model, file: str) -> tuple[int, int]:
    n_values = n_calls = 0
    for scope in iterate_scopes(model, file):
        for node in scope.graph.nodes:
            n_values += len(node.outputs)
            n_calls += "Conv" in node.op_type
    return n_values, n_calls
