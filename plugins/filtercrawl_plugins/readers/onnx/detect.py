"""Recognize ONNX models by their first bytes; the format has no magic number."""

from __future__ import annotations

from itertools import islice
from typing import Final

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.protobuf.wire import Field, WireReader
from filtercrawl_plugins.readers.onnx.graph import fields

# Field numbers of ModelProto.
_GRAPH: Final = 7
_IR_VERSION: Final = 1
# The IR version of 2025 is 13; a larger number than this is something else.
_MAX_IR_VERSION: Final = 1000
# The end of the outermost message is the end of the file, which is not needed here.
_NO_END: Final = 1 << 62
# Fields read of each message, and valid fields of the graph that suffice.
_MAX_FIELDS: Final = 64
_GRAPH_FIELDS: Final = 3

# Messages in the fields of GraphProto.
_GRAPH_MESSAGES: Final = {
    1: fields.NODE,
    5: fields.TENSOR,
    11: fields.VALUE_INFO,
    12: fields.VALUE_INFO,
    13: fields.VALUE_INFO,
    15: fields.SPARSE_TENSOR,
}


def looks_like_onnx(file: RandomAccessFile) -> bool:
    """Return whether a file starts like a ModelProto: known fields up to a graph that starts with known fields.

    A truncated file is recognized as well once its graph has begun, so that reading it reports the truncation.
    """
    wire = WireReader(file, Budget(file))
    has_version = False
    try:
        for n, field in enumerate(wire.fields(0, _NO_END)):
            if field.wire_type not in fields.MODEL.get(field.number, ()) or n > _MAX_FIELDS:
                return False
            if field.number == _GRAPH:
                return _starts_like_graph(wire, field, has_version=has_version)
            if field.number == _IR_VERSION:
                has_version = 0 < field.value <= _MAX_IR_VERSION
                if not has_version:
                    return False
    except (FormatError, UnsafeFileError):
        return False
    return False


def _starts_like_graph(wire: WireReader, graph: Field, *, has_version: bool) -> bool:
    n_valid = 0
    try:
        for field in wire.fields(graph.start, graph.end):
            if not _is_graph_field(wire, field):
                return False
            n_valid += 1
            if n_valid == _GRAPH_FIELDS:
                return True
    except TruncatedError:
        return has_version or n_valid > 0
    return n_valid > 0


def _is_graph_field(wire: WireReader, field: Field) -> bool:
    if field.wire_type not in fields.GRAPH.get(field.number, ()):
        return False
    table = _GRAPH_MESSAGES.get(field.number)
    if table is None:
        return True
    subfields = islice(wire.fields(field.start, field.end), _MAX_FIELDS)
    return all(subfield.wire_type in table.get(subfield.number, ()) for subfield in subfields)
