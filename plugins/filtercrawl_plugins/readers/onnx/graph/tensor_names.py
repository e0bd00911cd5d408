"""Unique, stable names of all tensors of a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.onnx.graph.types import Graph, Model, TensorLike


@dataclass(frozen=True)
class NamedTensor:
    """A tensor and its unique name.

    Attributes:
        name: The name; see `name_tensors`.
        tensor: The tensor.
        training: Whether it belongs to a graph of `training_info`.
    """

    name: str
    tensor: TensorLike
    training: bool = False


def name_tensors(model: Model, budget: Budget) -> list[NamedTensor]:
    """Return the tensors of a model in the order of the file, each with a unique name.

    - An initializer of the main graph keeps its name; without one it is called `unnamed`.
    - The value of a Constant node has the name of the node's output.
    - A tensor in an attribute of another node is `NODE/ATTRIBUTE`; a node without a name is called by its operator and
      its index (`If_3`).
    - Tensors of subgraphs, functions and training graphs have a path before their name: `If_0/then_branch/NAME`,
      `FUNCTION/NAME`, `training_info_0/algorithm/NAME`.
    - The second tensor of one name gets the suffix `~2`, the third `~3`.

    Args:
        model: The model.
        budget: The budget of the checkpoint: nested nodes with long names multiply.

    Raises:
        UnsafeFileError: There are more tensors, or longer names, than the budget allows.
    """
    named_tensors = []
    for tensor in _all_tensors(model):
        budget.add_tensor(len(tensor.name))
        named_tensors.append(tensor)
    named_tensors.sort(key=lambda named: named.tensor.message.start)
    return _make_unique(named_tensors)


def _all_tensors(model: Model) -> Iterator[NamedTensor]:
    for name, tensor in _graph_tensors(model.graph, ()):
        yield NamedTensor(name, tensor)
    for function in model.functions:
        for name, tensor in _graph_tensors(function.body, (function.name,)):
            yield NamedTensor(name, tensor)
        for attribute in function.defaults.values():
            for tensor in attribute.tensors:
                yield NamedTensor(f"{function.name}/{attribute.name}", tensor)
            for graph in attribute.graphs:
                for name, tensor in _graph_tensors(graph, (function.name, attribute.name)):
                    yield NamedTensor(name, tensor)
    for path, graph in model.training_graphs:
        for name, tensor in _graph_tensors(graph, (path,)):
            yield NamedTensor(name, tensor, training=True)


def _graph_tensors(graph: Graph, path: tuple[str, ...]) -> Iterator[tuple[str, TensorLike]]:
    for tensor in graph.initializers:
        yield "/".join((*path, tensor.name or "unnamed")), tensor
    for i, node in enumerate(graph.nodes):
        constant = node.constant
        label = node.name or f"{node.op_type}_{i}"
        if constant is not None:
            yield "/".join((*path, next(iter(node.outputs), "") or label)), constant
        for attribute in node.attributes.values():
            for tensor in attribute.tensors:
                if tensor is not constant:
                    yield "/".join((*path, label, attribute.name)), tensor
        for name, subgraph in node.subgraphs():
            yield from _graph_tensors(subgraph, (*path, label, name))


def _make_unique(tensors: list[NamedTensor]) -> list[NamedTensor]:
    taken = {tensor.name for tensor in tensors}
    seen: dict[str, int] = {}
    result = []
    for tensor in tensors:
        name = tensor.name
        count = seen[name] = seen.get(name, 0) + 1
        if count > 1:
            while (name := f"{tensor.name}~{count}") in taken:
                count += 1
            seen[tensor.name] = count
            taken.add(name)
        result.append(NamedTensor(name, tensor.tensor, tensor.training))
    return result
