"""Parse the messages of an ONNX file into records: structure and names, without the numbers of tensors.

Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.errors import FormatError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile, hint_seeks
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.protobuf.wire import LEN, MESSAGE_COST, ByteRange, Field, WireReader, signed
from filtercrawl_plugins.readers.onnx.graph import fields
from filtercrawl_plugins.readers.onnx.graph.fields import Layout, known_fields, used
from filtercrawl_plugins.readers.onnx.graph.integers import IntegerParts
from filtercrawl_plugins.readers.onnx.graph.operators import CONVOLUTIONS, upcoming_weights
from filtercrawl_plugins.readers.onnx.graph.tensor_proto import read_sparse, read_tensor
from filtercrawl_plugins.readers.onnx.graph.types import (
    Attribute,
    Function,
    Graph,
    Model,
    Node,
    OnnxTensor,
    SparseTensor,
)

# Nested graphs. Protobuf libraries stop at 100 nested messages, which is 33 graphs.
MAX_GRAPH_DEPTH: Final = 32
# Longer string attributes are binary data for an accelerator and are not needed.
MAX_STRING_BYTES: Final = 1024

_USED_OF_GRAPH: Final = used(fields.GRAPH, 1, 5, 11, 12, 15)
_USED_OF_NODE: Final = used(fields.NODE, 1, 2, 3, 4, 5, 7, 8)

# Readers of the fields of an attribute that are tensors.
_TENSOR_READERS: Final[Mapping[int, Callable[[WireReader, Field], OnnxTensor | SparseTensor]]] = {
    5: read_tensor, 10: read_tensor, 22: read_sparse, 23: read_sparse,
}  # fmt: skip


@dataclass(eq=False)
class _Parts:
    """The fields of a message that lead to tensors, and the kind of message that each holds."""

    inner: dict[int, _Parts] = field(default_factory=dict)


_TENSOR: Final = _Parts()
_GRAPH_PARTS: Final = _Parts({5: _TENSOR})
_ATTRIBUTE_PARTS: Final = _Parts({5: _TENSOR, 6: _GRAPH_PARTS, 10: _TENSOR, 11: _GRAPH_PARTS})
_NODE_PARTS: Final = _Parts({5: _ATTRIBUTE_PARTS})
_GRAPH_PARTS.inner[1] = _NODE_PARTS
_FUNCTION_PARTS: Final = _Parts({7: _NODE_PARTS, 11: _ATTRIBUTE_PARTS})
_TRAINING_PARTS: Final = _Parts({1: _GRAPH_PARTS, 2: _GRAPH_PARTS})
_MODEL_PARTS: Final = _Parts({7: _GRAPH_PARTS, 20: _TRAINING_PARTS, 25: _FUNCTION_PARTS})


def read_model(file: RandomAccessFile, budget: Budget) -> Model:
    """Read the structure of an ONNX file; raises CheckpointError if it is damaged or too large."""
    return _Parser(file, budget).model()


def read_tensors(file: RandomAccessFile) -> Iterator[OnnxTensor]:
    """Yield the dense tensors of an ONNX file in the order of the file, without the nodes that they belong to.

    Takes half the time of `read_model`. Raises CheckpointError as far as it comes upon damage.
    """
    wire = WireReader(file, Budget(file))
    whole = Field(number=0, wire_type=LEN, value=0, start=0, end=file.size)
    return _tensors_below(wire, whole, _MODEL_PARTS, 0)


def _tensors_below(wire: WireReader, message: Field, parts: _Parts, n_graphs: int) -> Iterator[OnnxTensor]:
    if n_graphs > MAX_GRAPH_DEPTH:
        raise _nesting_error(wire)
    for f in wire.fields(message.start, message.end, wanted=parts.inner):
        inner = parts.inner.get(f.number)
        if inner is None or f.wire_type != LEN:
            continue
        if inner is _TENSOR:
            yield read_tensor(wire, f)
        else:
            yield from _tensors_below(wire, f, inner, n_graphs + (inner is _GRAPH_PARTS))


class _Parser:
    """Reads one file; a method per message."""

    def __init__(self, file: RandomAccessFile, budget: Budget) -> None:
        self._wire = WireReader(file, budget)
        self._budget = budget
        self._depth = 0

    def model(self) -> Model:
        graphs: list[Graph] = []
        functions: list[Function] = []
        training: list[tuple[str, Graph]] = []
        n_training = 0
        for f in known_fields(self._wire, 0, self._wire.file.size, fields.MODEL):
            if f.number == 7:
                graphs.append(self._graph(f))
            elif f.number == 25:
                functions.append(self._function(f))
            elif f.number == 20:
                for g in self._fields(f, fields.TRAINING):
                    if g.number in (1, 2):
                        kind = "initialization" if g.number == 1 else "algorithm"
                        training.append((f"training_info_{n_training}/{kind}", self._graph(g)))
                n_training += 1
        if len(graphs) != 1:
            raise self._error(f"has {len(graphs)} graphs, an ONNX model has one; fetch it again")
        return Model(graph=graphs[0], functions=tuple(functions), training_graphs=tuple(training))

    def _fields(self, field: Field, table: Layout, wanted: frozenset[int] | None = None) -> Iterator[Field]:
        return known_fields(self._wire, field.start, field.end, table, wanted)

    def _graph(self, field: Field) -> Graph:
        self._depth += 1
        if self._depth > MAX_GRAPH_DEPTH:
            raise _nesting_error(self._wire)
        nodes: list[Node] = []
        initializers: list[OnnxTensor | SparseTensor] = []
        inputs: list[str] = []
        outputs: list[str] = []
        for f in self._fields(field, fields.GRAPH, _USED_OF_GRAPH):
            match f.number:
                case 1:
                    nodes.append(self._node(f))
                case 5:
                    if not initializers:  # initializers follow the nodes if fields are in canonical order
                        hint_seeks(self._wire.file, *upcoming_weights(nodes))
                    initializers.append(read_tensor(self._wire, f))
                case 11:
                    inputs.append(self._value_name(f))
                case 12:
                    outputs.append(self._value_name(f))
                case 15:
                    initializers.append(read_sparse(self._wire, f))
        self._depth -= 1
        return Graph(nodes=tuple(nodes), initializers=tuple(initializers), inputs=tuple(inputs), outputs=tuple(outputs))

    def _value_name(self, field: Field) -> str:
        names = (self._wire.read_text(f) for f in self._fields(field, fields.VALUE_INFO) if f.number == 1)
        return next(names, "")

    def _function(self, field: Field) -> Function:
        text = {1: "", 10: "", 13: ""}
        nodes: list[Node] = []
        values: dict[int, list[str]] = {4: [], 5: []}
        defaults: dict[str, Attribute] = {}
        for f in self._fields(field, fields.FUNCTION):
            if f.number in text:
                text[f.number] = self._wire.read_text(f)
            elif f.number in values:
                values[f.number].append(self._wire.read_text(f))
            elif f.number == 7:
                nodes.append(self._node(f))
            elif f.number == 11:
                attribute = self._attribute(f)
                defaults[attribute.name] = attribute
        body = Graph(nodes=tuple(nodes), inputs=tuple(values[4]), outputs=tuple(values[5]))
        domain = _domain(text[10])
        return Function(name=text[1], domain=domain, overload=text[13], body=body, defaults=defaults)

    def _node(self, field: Field) -> Node:
        self._wire.charge(MESSAGE_COST)
        text = {3: "", 4: "", 7: "", 8: ""}
        values: dict[int, list[str]] = {1: [], 2: []}
        attributes: dict[str, Attribute] = {}
        for f in self._fields(field, fields.NODE, _USED_OF_NODE):
            if f.number in values:
                values[f.number].append(self._wire.read_text(f))
            elif f.number in text:
                text[f.number] = self._wire.read_text(f)
            elif f.number == 5:
                attribute = self._attribute(f)
                if attribute.name in attributes:
                    raise self._error(
                        f"a node at byte {field.start} has two attributes {attribute.name[:80]!r}; fetch it again"
                    )
                attributes[attribute.name] = attribute
        domain = _domain(text[7])
        if (domain, text[4]) in CONVOLUTIONS:
            self._budget.add_convolution()
        return Node(
            op_type=text[4],
            domain=domain,
            overload=text[8],
            name=text[3],
            inputs=tuple(values[1]),
            outputs=tuple(values[2]),
            attributes=attributes,
        )

    def _attribute(self, field: Field) -> Attribute:
        self._wire.charge(MESSAGE_COST)
        text = {1: "", 21: ""}
        floats: dict[int, list[bytes]] = {2: [], 7: []}
        integer, ints = 0, IntegerParts(self._wire)
        strings: dict[int, list[bytes]] = {4: [], 9: []}
        tensors: list[OnnxTensor | SparseTensor] = []
        graphs: list[Graph] = []
        for f in self._fields(field, fields.ATTRIBUTE):
            if f.number in text:
                text[f.number] = self._wire.read_text(f)
            elif f.number in floats:
                floats[f.number].append(self._wire.read_payload(f))
            elif f.number == 3:
                integer = signed(f.value)
            elif f.number == 8:
                ints.add(f)
            elif f.number in strings:
                strings[f.number].append(self._wire.read_payload(f) if f.end - f.start <= MAX_STRING_BYTES else b"")
            elif f.number in _TENSOR_READERS:
                tensors.append(_TENSOR_READERS[f.number](self._wire, f))
            elif f.number in (6, 11):
                graphs.append(self._graph(f))
        packed = b"".join(floats[7])
        if len(packed) % 4:
            raise self._error(
                f"the floats of the attribute at byte {field.start} are not a multiple of 4 bytes; fetch it again"
            )
        return Attribute(
            name=text[1],
            message=ByteRange(field.start, field.end),
            ref_attr_name=text[21],
            i=integer,
            f=(floats[2] or [bytes(4)])[-1],
            s=(strings[4] or [b""])[-1],
            ints=ints.joined(),
            floats=packed,
            n_strings=len(strings[9]),
            tensors=tuple(tensors),
            graphs=tuple(graphs),
        )

    def _error(self, text: str) -> FormatError:
        return FormatError(f"{self._wire.file.name}: {text}")


def _nesting_error(wire: WireReader) -> UnsupportedError:
    return UnsupportedError(
        f"{wire.file.name}: nests graphs more than {MAX_GRAPH_DEPTH} levels deep, the supported maximum"
    )


def _domain(name: str) -> str:
    """Return the canonical name of a domain: `ai.onnx` is also written as the empty string."""
    return "" if name == "ai.onnx" else name
