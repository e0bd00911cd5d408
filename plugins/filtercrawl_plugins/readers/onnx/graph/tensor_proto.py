"""Parse TensorProto and SparseTensorProto: names, shapes, and the ranges of their numbers."""

from __future__ import annotations

import math
from itertools import islice
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.protobuf.wire import MESSAGE_COST, ByteRange, Field, WireReader
from filtercrawl_plugins.readers.onnx.graph import fields
from filtercrawl_plugins.readers.onnx.graph.fields import known_fields
from filtercrawl_plugins.readers.onnx.graph.types import OnnxTensor, SparseTensor, TypedData

# Axes of an array in NumPy 1.
MAX_AXES: Final = 32
# Pieces of the numbers of a tensor. A writer that does not pack them has one for each number, as of scalars.
MAX_PIECES: Final = 65_536


def read_tensor(wire: WireReader, field: Field) -> OnnxTensor:  # noqa: C901 - a branch for each field
    """Parse a TensorProto without its numbers; raises FormatError if its shape is invalid."""
    wire.charge(MESSAGE_COST)
    name, data_type, raw_data, is_external, segmented = "", 0, None, False, False
    pieces = 0
    shape: list[int] = []
    typed_data: dict[int, TypedData] = {}
    external: dict[str, str] = {}
    for f in known_fields(wire, field.start, field.end, fields.TENSOR):
        match f.number:
            case 1:
                shape.extend(islice(wire.read_integers(f), MAX_AXES + 1 - len(shape)))
            case 2:
                data_type = f.value
            case 3:
                segmented = True
            case 8:
                name = wire.read_text(f)
            case 9:
                raw_data = ByteRange(f.start, f.end)
            case 13:
                entry = {e.number: wire.read_text(e) for e in known_fields(wire, f.start, f.end, fields.STRING_ENTRY)}
                external[entry.get(1, "")] = entry.get(2, "")
            case 14:
                is_external = f.value == 1
            case 4 | 5 | 7 | 10 | 11:
                pieces += 1
                if pieces > MAX_PIECES:
                    raise FormatError(
                        f"{wire.file.name}: the tensor at byte {field.start} has its numbers in more than {MAX_PIECES} "
                        "pieces; write them packed"
                    )
                previous = typed_data.get(f.number)
                # A field in several pieces is found again when it is decoded; only its total size is kept.
                span = ByteRange(f.start, f.end) if previous is None else None
                typed_data[f.number] = TypedData(f.end - f.start + (previous.size if previous else 0), span)
    return OnnxTensor(
        name=name,
        shape=_check_shape(wire, shape, field),
        data_type=data_type,
        message=ByteRange(field.start, field.end),
        raw_data=raw_data,
        typed_data=typed_data,
        external=external if is_external else None,
        segmented=segmented,
    )


def read_sparse(wire: WireReader, field: Field) -> SparseTensor:
    """Parse name, type and shape of a SparseTensorProto; raises FormatError if its shape is invalid."""
    wire.charge(MESSAGE_COST)
    name, data_type = "", 0
    shape: list[int] = []
    for f in known_fields(wire, field.start, field.end, fields.SPARSE_TENSOR):
        if f.number == 1:
            values = read_tensor(wire, f)
            name, data_type = values.name, values.data_type
        elif f.number == 3:
            shape.extend(islice(wire.read_integers(f), MAX_AXES + 1 - len(shape)))
    return SparseTensor(
        name=name,
        shape=_check_shape(wire, shape, field),
        data_type=data_type,
        message=ByteRange(field.start, field.end),
    )


def _check_shape(wire: WireReader, sizes: list[int], field: Field) -> tuple[int, ...]:
    product = math.prod(max(size, 1) for size in sizes)
    # The widest element has 16 bytes, and the size in bytes of any tensor must fit into an int64.
    if len(sizes) > MAX_AXES or min(sizes, default=0) < 0 or product > (1 << 63) // 16:
        shown = f"{str(sizes[:8])[:-1]}, ...]" if len(sizes) > 8 else str(sizes)
        raise FormatError(
            f"{wire.file.name}: the tensor at byte {field.start} has the invalid shape {shown}; fetch it again"
        )
    return tuple(sizes)
