"""Names every tensor that a model holds, once each and always alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import UnsupportedError
from filtercrawl_plugins.readers.onnx.graph.types import Graph, Model, TensorLike

MAX_NAME_CHARACTERS: Final = 1 << 26


@dataclass(frozen=True)
class NamedTensor:
    """A tensor and its unique name. training: it belongs to the training graphs of the file."""

    name: str
    tensor: TensorLike
    training: bool = False


def name_tensors(model: Model, file: str) -> list[NamedTensor]:
    """List the tensors of a model in the order of the file, each with a unique name.

    A tensor of the main graph has its own name, one in a Constant node that of the node's output, one in
    another node's attribute `NODE/ATTRIBUTE`. In a subgraph the path stands before it
    (`If_0/then_branch/NAME`), in a function the function's name, in training graphs
    `training_info_0/algorithm`. A node without a name is called by its operator and its place among the nodes
    (`If_3`), a tensor without one `unnamed`. The second of one name gets `~2` at its end, the third `~3`.
    Raises UnsupportedError where the long names of nested nodes add up to more than memory should hold.
    """
    found = []
    letters = 0
    for tensor in _everywhere(model):
        letters += len(tensor.name)
        if letters > MAX_NAME_CHARACTERS:
            raise UnsupportedError(f"{file}: the names of its tensors are longer than any that are read")
        found.append(tensor)
    found.sort(key=lambda named: named.tensor.message.start)
    return _unique(found)


def _everywhere(model: Model) -> Iterator[NamedTensor]:
    for name, held in _graph(model.graph, ()):
        yield NamedTensor(name, held)
    for function in model.functions:
        for name, held in _graph(function.body, (function.name,)):
            yield NamedTensor(name, held)
        for attribute in function.defaults.values():
            for tensor in attribute.tensors:
                yield NamedTensor(f"{function.name}/{attribute.name}", tensor)
            for graph in attribute.graphs:
                for name, held in _graph(graph, (function.name, attribute.name)):
                    yield NamedTensor(name, held)
    for path, graph in model.training_graphs:
        for name, held in _graph(graph, (path,)):
            yield NamedTensor(name, held, training=True)


def _graph(graph: Graph, path: tuple[str, ...]) -> Iterator[tuple[str, TensorLike]]:
    for tensor in graph.initializers:
        yield "/".join((*path, tensor.name or "unnamed")), tensor
    for i, node in enumerate(graph.nodes):
        own = node.constant
        label = node.name or f"{node.op_type}_{i}"
        if own is not None:
            yield "/".join((*path, next(iter(node.outputs), "") or label)), own
        for attribute in node.attributes.values():
            for tensor in attribute.tensors:
                if tensor is not own:
                    yield "/".join((*path, label, attribute.name)), tensor
        for name, subgraph in node.subgraphs():
            yield from _graph(subgraph, (*path, label, name))


def _unique(found: list[NamedTensor]) -> list[NamedTensor]:
    taken = {tensor.name for tensor in found}
    seen: dict[str, int] = {}
    result = []
    for tensor in found:
        name = tensor.name
        count = seen[name] = seen.get(name, 0) + 1
        if count > 1:
            while (name := f"{tensor.name}~{count}") in taken:
                count += 1
            seen[tensor.name] = count
            taken.add(name)
        result.append(NamedTensor(name, tensor.tensor, tensor.training))
    return result
