"""Reads the messages of tensors: names, shapes, and where the numbers lie."""

from __future__ import annotations

from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.protobuf.wire import MESSAGE_COST, Field, Span, Wire
from filtercrawl_plugins.readers.onnx.graph import fields
from filtercrawl_plugins.readers.onnx.graph.fields import known_fields
from filtercrawl_plugins.readers.onnx.graph.types import Numbers, OnnxTensor, SparseTensor

MOST_AXES: Final = 32


def read_tensor(wire: Wire, field: Field) -> OnnxTensor:
    """Read a TensorProto but for its numbers; raises FormatError for a shape that cannot be."""
    wire.spend(MESSAGE_COST)
    name, kind, raw, is_external, segmented = "", 0, None, False, False
    shape: list[int] = []
    numbers: dict[int, Numbers] = {}
    external: dict[str, str] = {}
    for f in known_fields(wire, field.start, field.end, fields.TENSOR):
        match f.number:
            case 1:
                shape.extend(wire.integers(f))
            case 2:
                kind = f.value
            case 3:
                segmented = True
            case 8:
                name = wire.text(f)
            case 9:
                raw = Span(f.start, f.end)
            case 13:
                entry = {e.number: wire.text(e) for e in known_fields(wire, f.start, f.end, fields.ENTRY)}
                external[entry.get(1, "")] = entry.get(2, "")
            case 14:
                is_external = f.value == 1
            case 4 | 5 | 7 | 10 | 11:
                before = numbers.get(f.number)
                # Mixed pieces are found again when they are decoded; only their sum is kept.
                whole = Span(f.start, f.end) if before is None else None
                numbers[f.number] = Numbers(f.end - f.start + (before.size if before else 0), whole)
    return OnnxTensor(
        name=name,
        shape=_shape(wire, shape, field),
        type=kind,
        message=Span(field.start, field.end),
        raw=raw,
        numbers=numbers,
        external=external if is_external else None,
        segmented=segmented,
    )


def read_sparse(wire: Wire, field: Field) -> SparseTensor:
    """Read name, type and shape of a SparseTensorProto; raises FormatError as `read_tensor` does."""
    wire.spend(MESSAGE_COST)
    name, kind = "", 0
    shape: list[int] = []
    for f in known_fields(wire, field.start, field.end, fields.SPARSE):
        if f.number == 1:
            values = read_tensor(wire, f)
            name, kind = values.name, values.type
        elif f.number == 3:
            shape.extend(wire.integers(f))
    return SparseTensor(name=name, shape=_shape(wire, shape, field), type=kind, message=Span(field.start, field.end))


def _shape(wire: Wire, sizes: list[int], field: Field) -> tuple[int, ...]:
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
