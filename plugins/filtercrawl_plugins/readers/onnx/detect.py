"""Tells by its first bytes whether a file is an ONNX model."""

from __future__ import annotations

from itertools import islice
from typing import Final

from filtercrawl.api.errors import FormatError, TruncatedError, UnsupportedError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.protobuf.wire import Field, WireReader
from filtercrawl_plugins.readers.onnx.graph import fields

_GRAPH: Final = 7
_IR_VERSION: Final = 1
# As of 2025 the version is 13; a number beyond this is no version.
_HIGHEST_IR_VERSION: Final = 1000
_ENDLESS: Final = 1 << 62
# What is read before the graph, and of the graph, to be sure.
_MOST_FIELDS: Final = 64
_GRAPH_FIELDS: Final = 3

_PARTS: Final = {
    1: fields.NODE,
    5: fields.TENSOR,
    11: fields.VALUE_INFO,
    12: fields.VALUE_INFO,
    13: fields.VALUE_INFO,
    15: fields.SPARSE_TENSOR,
}


def looks_like_onnx(file: RandomAccessFile) -> bool:
    """Tell whether the file starts as a ModelProto: known fields up to a graph whose own start is one.

    A file that ends too early is still claimed when its graph has begun, so that what is wrong with it gets
    said.
    """
    wire = WireReader(file)
    versioned = False
    try:
        for n, field in enumerate(wire.fields(0, _ENDLESS)):
            if field.wire_type not in fields.MODEL.get(field.number, ()) or n > _MOST_FIELDS:
                return False
            if field.number == _GRAPH:
                return _is_graph(wire, field, versioned=versioned)
            if field.number == _IR_VERSION:
                versioned = 0 < field.value <= _HIGHEST_IR_VERSION
                if not versioned:
                    return False
    except (FormatError, UnsupportedError):
        return False
    return False


def _is_graph(wire: WireReader, graph: Field, *, versioned: bool) -> bool:
    whole = 0
    try:
        for field in wire.fields(graph.start, graph.end):
            if not _is_sound(wire, field):
                return False
            whole += 1
            if whole == _GRAPH_FIELDS:
                return True
    except TruncatedError:
        return versioned or whole > 0
    return whole > 0


def _is_sound(wire: WireReader, field: Field) -> bool:
    if field.wire_type not in fields.GRAPH.get(field.number, ()):
        return False
    table = _PARTS.get(field.number)
    if table is None:
        return True
    parts = islice(wire.fields(field.start, field.end), _MOST_FIELDS)
    return all(part.wire_type in table.get(part.number, ()) for part in parts)
