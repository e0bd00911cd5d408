"""Where a name of a graph is looked up: in the graph, in the graphs around it, in the call of a function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import UnsupportedError
from filtercrawl_plugins.readers.onnx.graph.types import Attribute, Function, Graph, Model, Node, TensorLike

# Functions that call functions unfold without end in a file that means harm.
MOST_NODES: Final = 1_000_000
DEEPEST: Final = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionCall:
    """A node that calls a function: where it stands, and what it passes for each of the function's names."""

    scope: Scope
    arguments: dict[str, str]
    attributes: dict[str, Attribute]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scope:
    """A graph at one place where it is run. outer: the graph around it. call: of the function it is."""

    graph: Graph
    outer: Scope | None = None
    call: FunctionCall | None = None
    depth: int = 0
    functions: dict[tuple[str, str, str], Function] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Scope, TensorLike | Node] | None:
        """Find what a value is: a tensor, or the node that makes it; None for an input of model or loop."""
        scope: Scope | None = self
        while scope is not None and name:
            graph = scope.graph
            held = graph.tensors_by_name.get(name)
            if held is not None:
                return scope, held
            if name in graph.producers:
                return scope, graph.producers[name]
            if scope.call is not None:
                name, scope = scope.call.arguments.get(name, ""), scope.call.scope
            elif name in graph.inputs:
                return None
            else:
                scope = scope.outer
        return None

    def attribute(self, node: Node, name: str) -> Attribute | None:
        """Return a node's attribute, in a function what the call says where the node refers to it."""
        attribute = node.attributes.get(name)
        scope: Scope | None = self
        while attribute is not None and attribute.ref_attr_name:
            while scope is not None and scope.call is None:
                scope = scope.outer
            if scope is None or scope.call is None:
                return None
            attribute, scope = scope.call.attributes.get(attribute.ref_attr_name), scope.call.scope
        return attribute

    def called_function(self, node: Node) -> Function | None:
        """Return the model's own function that a node calls; it goes before an operator of that name."""
        return self.functions.get((node.domain, node.op_type, node.overload))

    def subscopes(self, node: Node) -> Iterator[Scope]:
        """Yield what a node runs: its subgraphs, the body of its function."""
        for _, graph in node.subgraphs():
            yield Scope(graph=graph, outer=self, depth=self.depth + 1, functions=self.functions)
        function = self.called_function(node)
        if function is not None:
            # zip, not strict: trailing optional inputs may be left out.
            actual = dict(zip(function.body.inputs, node.inputs, strict=False))
            attributes = {**function.defaults, **node.attributes}
            call = FunctionCall(scope=self, arguments=actual, attributes=attributes)
            yield Scope(graph=function.body, call=call, depth=self.depth + 1, functions=self.functions)


def iterate_scopes(model: Model, file: str) -> Iterator[Scope]:
    """Yield every graph of a model once for each place where it is run: outer ones first, as nodes follow.

    Raises UnsupportedError where functions unfold to more than a million nodes or call themselves.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    pending = [Scope(graph=model.graph, functions=functions)]
    n_nodes = 0
    while pending:
        scope = pending.pop()
        n_nodes += len(scope.graph.nodes) + 1
        if n_nodes > MOST_NODES or scope.depth > DEEPEST:
            raise UnsupportedError(f"{file}: its functions unfold without end; no such file is read")
        yield scope
        inner = [deeper for node in scope.graph.nodes for deeper in scope.subscopes(node)]
        pending.extend(reversed(inner))
