"""Reads the messages of tensors: names, shapes, and where the numbers lie."""

from __future__ import annotations

from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.protobuf.wire import MESSAGE_COST, ByteRange, Field, WireReader
from filtercrawl_plugins.readers.onnx.graph import fields
from filtercrawl_plugins.readers.onnx.graph.fields import known_fields
from filtercrawl_plugins.readers.onnx.graph.types import OnnxTensor, SparseTensor, TypedData

MOST_AXES: Final = 32


def read_tensor(wire: WireReader, field: Field) -> OnnxTensor:
    """Read a TensorProto but for its numbers; raises FormatError for a shape that cannot be."""
    wire.charge(MESSAGE_COST)
    name, kind, raw, is_external, segmented = "", 0, None, False, False
    shape: list[int] = []
    numbers: dict[int, TypedData] = {}
    external: dict[str, str] = {}
    for f in known_fields(wire, field.start, field.end, fields.TENSOR):
        match f.number:
            case 1:
                shape.extend(wire.read_integers(f))
            case 2:
                kind = f.value
            case 3:
                segmented = True
            case 8:
                name = wire.read_text(f)
            case 9:
                raw = ByteRange(f.start, f.end)
            case 13:
                entry = {e.number: wire.read_text(e) for e in known_fields(wire, f.start, f.end, fields.STRING_ENTRY)}
                external[entry.get(1, "")] = entry.get(2, "")
            case 14:
                is_external = f.value == 1
            case 4 | 5 | 7 | 10 | 11:
                before = numbers.get(f.number)
                # Mixed pieces are found again when they are decoded; only their sum is kept.
                whole = ByteRange(f.start, f.end) if before is None else None
                numbers[f.number] = TypedData(f.end - f.start + (before.size if before else 0), whole)
    return OnnxTensor(
        name=name,
        shape=_shape(wire, shape, field),
        data_type=kind,
        message=ByteRange(field.start, field.end),
        raw_data=raw,
        typed_data=numbers,
        external=external if is_external else None,
        segmented=segmented,
    )


def read_sparse(wire: WireReader, field: Field) -> SparseTensor:
    """Read name, type and shape of a SparseTensorProto; raises FormatError as `read_tensor` does."""
    wire.charge(MESSAGE_COST)
    name, kind = "", 0
    shape: list[int] = []
    for f in known_fields(wire, field.start, field.end, fields.SPARSE_TENSOR):
        if f.number == 1:
            values = read_tensor(wire, f)
            name, kind = values.name, values.data_type
        elif f.number == 3:
            shape.extend(wire.read_integers(f))
    return SparseTensor(
        name=name, shape=_shape(wire, shape, field), data_type=kind, message=ByteRange(field.start, field.end)
    )


def _shape(wire: WireReader, sizes: list[int], field: Field) -> tuple[int, ...]:
    product = 1
    for size in sizes:
        product *= max(size, 1)
    # 16 bytes is the widest element, and the product of any view must stay an int64.
    if len(sizes) > MOST_AXES or min(sizes, default=0) < 0 or product > (1 << 63) // 16:
        shown = f"{str(sizes[:8])[:-1]}, ...]" if len(sizes) > 8 else str(sizes)
        raise FormatError(
            f"{wire.file.name}: the tensor at byte {field.start} claims the shape {shown}, "
            "which cannot be; fetch it again"
        )
    return tuple(sizes)
