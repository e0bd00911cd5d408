"""An ONNX model as the file states it: graphs, nodes, and the tensors they hold, numbers left in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from filtercrawl_plugins.formats.protobuf.wire import ByteRange


class TypedData(NamedTuple):
    """A field of repeated numbers: its payload in bytes; where it lies, if in one piece."""

    size: int
    span: ByteRange | None


@dataclass(frozen=True, kw_only=True)
class OnnxTensor:
    """A TensorProto. type: its data_type; numbers: the typed fields (`float_data`, ...) by field number."""

    name: str
    shape: tuple[int, ...]
    data_type: int
    message: ByteRange
    raw_data: ByteRange | None = None
    typed_data: Mapping[int, TypedData] = field(default_factory=dict)
    external: Mapping[str, str] | None = None
    segmented: bool = False


@dataclass(frozen=True, kw_only=True)
class SparseTensor:
    """A SparseTensorProto. type: the data_type of its values."""

    name: str
    shape: tuple[int, ...]
    data_type: int
    message: ByteRange


@dataclass(frozen=True, kw_only=True)
class ConstantValue:
    """Numbers written into an attribute of a Constant node; little-endian bytes, None for text."""

    shape: tuple[int, ...]
    dtype: str
    message: ByteRange
    data: bytes | None

    @property
    def name(self) -> str:
        return ""


# What holds numbers; the start of its message tells one from another.
TensorLike = OnnxTensor | SparseTensor | ConstantValue


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An attribute of a node. ref: the function's attribute that stands for it. f, floats: float32 bytes."""

    name: str
    message: ByteRange
    ref_attr_name: str = ""
    i: int = 0
    f: bytes = b"\0\0\0\0"
    s: bytes = b""
    ints: tuple[int, ...] = ()
    floats: bytes = b""
    n_strings: int = 0
    tensors: tuple[OnnxTensor | SparseTensor, ...] = ()
    graphs: tuple[Graph, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator call. domain: empty for ONNX's own operators. An absent input has an empty name."""

    op_type: str
    domain: str = ""
    overload: str = ""
    name: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def input(self, slot: int) -> str:
        """Name the value at an input, empty where there is none."""
        return self.inputs[slot] if slot < len(self.inputs) else ""

    @cached_property
    def constant(self) -> TensorLike | None:
        """What a Constant node holds; None for any other node, and where a function's caller says it."""
        if self.op_type != "Constant" or self.domain:
            return None
        return next((held for a in self.attributes.values() if (held := _constant(a))), None)

    def subgraphs(self) -> Iterator[tuple[str, Graph]]:
        """Yield the graphs in the attributes, each with a name that is unique in the node."""
        for attribute in self.attributes.values():
            for i, graph in enumerate(attribute.graphs):
                yield (attribute.name if len(attribute.graphs) == 1 else f"{attribute.name}_{i}"), graph


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A graph, or the body of a function: then without initializers."""

    nodes: tuple[Node, ...] = ()
    initializers: tuple[OnnxTensor | SparseTensor, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def tensors_by_name(self) -> Mapping[str, TensorLike]:
        """The tensors by the name of the value they are."""
        constants = {n.outputs[0]: n.constant for n in self.nodes if n.outputs and n.constant}
        return {**constants, **{tensor.name: tensor for tensor in self.initializers}}

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, list[Node]]:
        """The nodes of this graph that take each value."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found


@dataclass(frozen=True, kw_only=True)
class Function:
    """A model-local function, called by nodes of its domain, name and overload. defaults: of attributes."""

    name: str
    domain: str
    overload: str
    body: Graph
    defaults: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A whole file. training: the graphs of `training_info`, each with the path it is named by."""

    graph: Graph
    functions: tuple[Function, ...] = ()
    training_graphs: tuple[tuple[str, Graph], ...] = ()


def _constant(attribute: Attribute) -> TensorLike | None:
    if attribute.ref_attr_name:
        return None
    at = attribute.message
    match attribute.name:
        case "value" | "sparse_value":
            return attribute.tensors[0] if attribute.tensors else None
        case "value_float":
            return ConstantValue(shape=(), dtype="float32", message=at, data=attribute.f)
        case "value_floats":
            n = len(attribute.floats) // 4
            return ConstantValue(shape=(n,), dtype="float32", message=at, data=attribute.floats)
        case "value_int":
            return ConstantValue(shape=(), dtype="int64", message=at, data=_int64(attribute.i))
        case "value_ints":
            data = b"".join(map(_int64, attribute.ints))
            return ConstantValue(shape=(len(attribute.ints),), dtype="int64", message=at, data=data)
        case "value_string":
            return ConstantValue(shape=(), dtype="string", message=at, data=None)
        case "value_strings":
            return ConstantValue(shape=(attribute.n_strings,), dtype="string", message=at, data=None)
        case _:
            return None


def _int64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
