"""Records of an ONNX model: graphs, nodes, functions and tensors, whose numbers stay in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from filtercrawl_plugins.formats.protobuf.wire import ByteRange
from filtercrawl_plugins.readers.onnx.graph.integers import NO_INTEGERS, Integers


class TypedData(NamedTuple):
    """A typed field of TensorProto with numbers, such as `float_data`.

    Attributes:
        size: Bytes of its payload, over all pieces.
        span: Range of its payload; None if it is in several pieces.
    """

    size: int
    span: ByteRange | None


@dataclass(frozen=True, kw_only=True)
class OnnxTensor:
    """A TensorProto.

    Attributes:
        name: Its name, empty if it has none.
        shape: Its dims.
        data_type: TensorProto.DataType.
        message: Range of the message; its start identifies the tensor.
        raw_data: Range of the numbers if they are stored as raw bytes.
        typed_data: The typed fields by field number.
        external: Key-value pairs of the external data (`location`, `offset`, `length`); None if it is not external.
        segmented: Whether the numbers are split over several messages, which no exporter does.
    """

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
    """A SparseTensorProto; `data_type` is that of its values."""

    name: str
    shape: tuple[int, ...]
    data_type: int
    message: ByteRange


@dataclass(frozen=True, kw_only=True)
class ConstantValue:
    """Numbers in an attribute of a Constant node: little-endian bytes, None for strings."""

    shape: tuple[int, ...]
    dtype: str
    message: ByteRange
    data: bytes | None

    @property
    def name(self) -> str:
        """A constant has no name of its own."""
        return ""


# Integers of a setting; the longest are indices of a Gather or pads.
MAX_SETTING: Final = 65_536

# Anything with numbers; the start of `message` identifies it.
TensorLike = OnnxTensor | SparseTensor | ConstantValue


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """An AttributeProto.

    Attributes:
        name: Its name.
        message: Range of the message.
        ref_attr_name: In a function, the attribute of the function that gives the value.
        i: Integer value.
        f: Float value, as float32 bytes.
        s: String value.
        ints: Integer values.
        floats: Float values, as float32 bytes.
        n_strings: Number of string values.
        tensors: Tensor values.
        graphs: Subgraphs.
    """

    name: str
    message: ByteRange
    ref_attr_name: str = ""
    i: int = 0
    f: bytes = b"\0\0\0\0"
    s: bytes = b""
    ints: Integers = field(default_factory=lambda: NO_INTEGERS)
    floats: bytes = b""
    n_strings: int = 0
    tensors: tuple[OnnxTensor | SparseTensor, ...] = ()
    graphs: tuple[Graph, ...] = ()

    def few_integers(self) -> tuple[int, ...]:
        """Return the integers of a setting, such as axes or sizes; () for more than `MAX_SETTING` of them."""
        return tuple(self.ints.tolist()) if self.ints.size <= MAX_SETTING else ()


@dataclass(frozen=True, kw_only=True)
class Node:
    """A NodeProto; `domain` is empty for ONNX's own operators, and so is the name of an omitted input."""

    op_type: str
    domain: str = ""
    overload: str = ""
    name: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def input(self, slot: int) -> str:
        """Return the name of the value at an input, empty if there is none."""
        return self.inputs[slot] if slot < len(self.inputs) else ""

    @cached_property
    def constant(self) -> TensorLike | None:
        """The value of a Constant node; None for other nodes, and for a value that the caller of a function gives."""
        if self.op_type != "Constant" or self.domain:
            return None
        return next((value for attribute in self.attributes.values() if (value := _constant(attribute))), None)

    def subgraphs(self) -> Iterator[tuple[str, Graph]]:
        """Yield the subgraphs, each with a name that is unique in the node."""
        for attribute in self.attributes.values():
            for i, graph in enumerate(attribute.graphs):
                yield (attribute.name if len(attribute.graphs) == 1 else f"{attribute.name}_{i}"), graph


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A GraphProto, or the body of a function, which has no initializers."""

    nodes: tuple[Node, ...] = ()
    initializers: tuple[OnnxTensor | SparseTensor, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @cached_property
    def tensors_by_name(self) -> Mapping[str, TensorLike]:
        """Initializers and constants by the name of their value."""
        constants = {n.outputs[0]: n.constant for n in self.nodes if n.outputs and n.constant}
        return {**constants, **{tensor.name: tensor for tensor in self.initializers}}

    @cached_property
    def input_names(self) -> frozenset[str]:
        """Names of its inputs."""
        return frozenset(self.inputs)

    @cached_property
    def output_names(self) -> frozenset[str]:
        """Names of its outputs."""
        return frozenset(self.outputs)

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        """The node that computes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, list[Node]]:
        """The nodes of this graph that have each value as input."""
        consumers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                consumers.setdefault(name, []).append(node)
        return consumers

    @cached_property
    def captured(self) -> frozenset[str]:
        """Names that the subgraphs of its nodes take from a graph around them, or have themselves."""
        graphs = [graph for node in self.nodes for _, graph in node.subgraphs()]
        names = (name for graph in graphs for node in graph.nodes for name in node.inputs)
        return frozenset(names).union(*(graph.captured | graph.output_names for graph in graphs))


@dataclass(frozen=True, kw_only=True)
class Function:
    """A FunctionProto: called by nodes with its domain, name and overload; `defaults` are default attributes."""

    name: str
    domain: str
    overload: str
    body: Graph
    defaults: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A ModelProto; `training_graphs` are those of `training_info`, each with the path in the names of its tensors."""

    graph: Graph
    functions: tuple[Function, ...] = ()
    training_graphs: tuple[tuple[str, Graph], ...] = ()


def _constant(attribute: Attribute) -> TensorLike | None:
    """Return the value in an attribute of a Constant node, None for any other attribute."""
    if attribute.ref_attr_name:
        return None
    message = attribute.message
    match attribute.name:
        case "value" | "sparse_value":
            return attribute.tensors[0] if attribute.tensors else None
        case "value_float":
            return ConstantValue(shape=(), dtype="float32", message=message, data=attribute.f)
        case "value_floats":
            n = len(attribute.floats) // 4
            return ConstantValue(shape=(n,), dtype="float32", message=message, data=attribute.floats)
        case "value_int":
            return ConstantValue(shape=(), dtype="int64", message=message, data=_int64(attribute.i))
        case "value_ints":
            data = attribute.ints.astype("<i8").tobytes()
            return ConstantValue(shape=(attribute.ints.size,), dtype="int64", message=message, data=data)
        case "value_string":
            return ConstantValue(shape=(), dtype="string", message=message, data=None)
        case "value_strings":
            return ConstantValue(shape=(attribute.n_strings,), dtype="string", message=message, data=None)
        case _:
            return None


def _int64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
