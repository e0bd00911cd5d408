"""Fields of ONNX messages and the wire types that each may have, from onnx.proto (https://github.com/onnx/onnx)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.protobuf.wire import I32, I64, LEN, VARINT, Field, WireReader

# Allowed wire types by field number.
Layout = Mapping[int, tuple[int, ...]]

_INT = (VARINT,)
_LEN = (LEN,)
_FLOAT = (I32,)
# Repeated numbers may be packed or not, whatever the schema says.
_INTS = (VARINT, LEN)
_FLOATS = (I32, LEN)
_DOUBLES = (I64, LEN)

MODEL: Final[Layout] = {1: _INT, 2: _LEN, 3: _LEN, 4: _LEN, 5: _INT, 6: _LEN, 7: _LEN, 8: _LEN, 14: _LEN, 20: _LEN, 25: _LEN, 26: _LEN}  # fmt: skip  # noqa: E501 - a table reads best in one line
GRAPH: Final[Layout] = dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 14, 15, 16), _LEN)
NODE: Final[Layout] = dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 8, 9, 10), _LEN)
FUNCTION: Final[Layout] = dict.fromkeys((1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14), _LEN)
TRAINING: Final[Layout] = dict.fromkeys((1, 2, 3, 4), _LEN)
VALUE_INFO: Final[Layout] = dict.fromkeys((1, 2, 3, 4), _LEN)
STRING_ENTRY: Final[Layout] = dict.fromkeys((1, 2), _LEN)
SPARSE_TENSOR: Final[Layout] = {1: _LEN, 2: _LEN, 3: _INTS}
ATTRIBUTE: Final[Layout] = {
    **dict.fromkeys((1, 4, 5, 6, 9, 10, 11, 13, 14, 15, 21, 22, 23), _LEN),
    2: _FLOAT, 3: _INT, 7: _FLOATS, 8: _INTS, 20: _INT,
}  # fmt: skip
TENSOR: Final[Layout] = {
    **dict.fromkeys((3, 6, 8, 9, 12, 13, 16), _LEN),
    1: _INTS, 2: _INT, 4: _FLOATS, 5: _INTS, 7: _INTS, 10: _DOUBLES, 11: _INTS, 14: _INT,
}  # fmt: skip


def used(layout: Layout, *numbers: int) -> frozenset[int]:
    """Return the fields to yield where some are used: these, and those whose wire type has to be checked."""
    return frozenset(numbers).union(number for number, types in layout.items() if LEN not in types)


def known_fields(
    wire: WireReader, start: int, end: int, layout: Layout, wanted: Container[int] | None = None
) -> Iterator[Field]:
    """Yield the fields of a message that its layout contains; others are skipped.

    Args:
        wire: The file.
        start: Offset of the message.
        end: Offset of the byte after it.
        layout: Fields and wire types of the message.
        wanted: What `used` returns; None for all.

    Raises:
        FormatError: A field has a wire type that its layout does not allow.
    """
    for field in wire.fields(start, end, layout, wanted):
        if field.wire_type not in layout[field.number]:
            detail = f"field {field.number} at byte {field.start} has wire type {field.wire_type}"
            raise FormatError(f"{wire.file.name}: {detail}, which is not valid in ONNX; fetch it again")
        yield field
