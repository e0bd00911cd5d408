"""Name lookup in graphs: in the graph itself, the graphs around it, or the call of a function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.types import Attribute, Function, Graph, Model, Node, TensorLike

# Levels of functions that call functions; the budget limits how many nodes they expand to.
MAX_DEPTH: Final = 64
# Steps of looking at a node in one context.
NODE_COST: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class FunctionCall:
    """A node that calls a function.

    Attributes:
        scope: Scope of the node.
        arguments: Names of values in that scope, by the function's input names.
        attributes: Attributes that the node passes or the function has defaults for, by name.
    """

    scope: Scope
    arguments: dict[str, str]
    attributes: dict[str, Attribute]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scope:
    """A graph in one context in which it is run.

    Attributes:
        graph: The graph.
        outer: Scope around a subgraph; None for the main graph and for functions.
        call: The call, if the graph is the body of a function.
        depth: Nesting depth, 0 for the main graph.
        functions: Functions of the model by domain, name and overload.
    """

    graph: Graph
    outer: Scope | None = None
    call: FunctionCall | None = None
    depth: int = 0
    functions: dict[tuple[str, str, str], Function] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Scope, TensorLike | Node] | None:
        """Return the tensor or node that produces a value, and its scope; None for an input of the model or a loop."""
        scope: Scope | None = self
        while scope is not None and name:
            graph = scope.graph
            tensor = graph.tensors_by_name.get(name)
            if tensor is not None:
                return scope, tensor
            if name in graph.producers:
                return scope, graph.producers[name]
            if scope.call is not None:
                name, scope = scope.call.arguments.get(name, ""), scope.call.scope
            elif name in graph.input_names:
                return None
            else:
                scope = scope.outer
        return None

    def attribute(self, node: Node, name: str) -> Attribute | None:
        """Return an attribute of a node, resolved through the calls of functions whose attributes it refers to."""
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
        """Return the model-local function that a node calls; it takes precedence over an operator of the same name."""
        return self.functions.get((node.domain, node.op_type, node.overload))

    def cost_of_call(self, node: Node) -> int:
        """Return how many arguments and attributes the function that a node calls is given; 0 for any other node."""
        function = self.called_function(node)
        if function is None:
            return 0
        return min(len(node.inputs), len(function.body.inputs)) + len(function.defaults) + len(node.attributes)

    def has_subscopes(self, node: Node) -> bool:
        """Return whether a node has subgraphs, or calls a function."""
        return self.called_function(node) is not None or any(True for _ in node.subgraphs())

    def subscopes(self, node: Node) -> Iterator[Scope]:
        """Yield the scopes of a node's subgraphs and of the body of the function it calls."""
        for _, graph in node.subgraphs():
            yield Scope(graph=graph, outer=self, depth=self.depth + 1, functions=self.functions)
        function = self.called_function(node)
        if function is not None:
            # Not strict: trailing optional inputs may be omitted.
            arguments = dict(zip(function.body.inputs, node.inputs, strict=False))
            attributes = {**function.defaults, **node.attributes}
            call = FunctionCall(scope=self, arguments=arguments, attributes=attributes)
            yield Scope(graph=function.body, call=call, depth=self.depth + 1, functions=self.functions)


def iterate_scopes(model: Model, budget: Budget) -> Iterator[Scope]:
    """Yield every graph of a model once per context in which it is run: outer ones first, in the order of nodes.

    Args:
        model: The model.
        budget: Pays for the nodes in every context, and for what calls of functions pass.

    Raises:
        UnsafeFileError: The functions expand to more than the budget allows, or call themselves.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    pending = [Scope(graph=model.graph, functions=functions)]
    while pending:
        scope = pending.pop()
        if scope.depth > MAX_DEPTH:
            raise UnsafeFileError(
                f"{budget.file.name}: its functions call each other more than {MAX_DEPTH} levels deep; reading stopped"
            )
        budget.spend(NODE_COST * len(scope.graph.nodes) + len(scope.graph.inputs) + 1)
        budget.spend(sum(map(scope.cost_of_call, scope.graph.nodes)))
        yield scope
        children = [child for node in scope.graph.nodes for child in scope.subscopes(node)]
        pending.extend(reversed(children))
