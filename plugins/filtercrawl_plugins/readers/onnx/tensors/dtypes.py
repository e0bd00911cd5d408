"""Element types of ONNX by their number in TensorProto.DataType."""

from __future__ import annotations

from typing import Final, NamedTuple

from filtercrawl.api.errors import FormatError
from filtercrawl.api.tensor_location import ITEMSIZE
from filtercrawl_plugins.readers.onnx.graph.types import ConstantValue, TensorLike
from filtercrawl_plugins.readers.onnx.tensors.packed import PACKED_TYPES

# Numbers of the typed fields of TensorProto.
FLOAT_DATA: Final = 4
INT32_DATA: Final = 5
INT64_DATA: Final = 7
DOUBLE_DATA: Final = 10
UINT64_DATA: Final = 11


class ElementType(NamedTuple):
    """An element type: name of the torch dtype, and number of the typed field for its elements."""

    dtype: str
    field: int

    @property
    def readable(self) -> bool:
        """Whether its elements can be decoded to a dtype that torch has."""
        return self.dtype in ITEMSIZE or self.dtype in PACKED_TYPES


ELEMENT_TYPES: Final = {
    1: ElementType("float32", FLOAT_DATA),
    2: ElementType("uint8", INT32_DATA),
    3: ElementType("int8", INT32_DATA),
    4: ElementType("uint16", INT32_DATA),
    5: ElementType("int16", INT32_DATA),
    6: ElementType("int32", INT32_DATA),
    7: ElementType("int64", INT64_DATA),
    8: ElementType("string", 6),
    9: ElementType("bool", INT32_DATA),
    10: ElementType("float16", INT32_DATA),
    11: ElementType("float64", DOUBLE_DATA),
    12: ElementType("uint32", UINT64_DATA),
    13: ElementType("uint64", UINT64_DATA),
    14: ElementType("complex64", FLOAT_DATA),
    15: ElementType("complex128", DOUBLE_DATA),
    16: ElementType("bfloat16", INT32_DATA),
    17: ElementType("float8_e4m3fn", INT32_DATA),
    18: ElementType("float8_e4m3fnuz", INT32_DATA),
    19: ElementType("float8_e5m2", INT32_DATA),
    20: ElementType("float8_e5m2fnuz", INT32_DATA),
    21: ElementType("uint4", INT32_DATA),
    22: ElementType("int4", INT32_DATA),
    23: ElementType("float4_e2m1", INT32_DATA),
    24: ElementType("float8_e8m0fnu", INT32_DATA),
    25: ElementType("uint2", INT32_DATA),
    26: ElementType("int2", INT32_DATA),
    27: ElementType("float6_e2m3", INT32_DATA),
    28: ElementType("float6_e3m2", INT32_DATA),
}


def element_type(number: int) -> ElementType:
    """Return an element type; one that is newer than this table is not readable. Raises FormatError for UNDEFINED."""
    if number <= 0:
        raise FormatError("has no data type")
    return ELEMENT_TYPES.get(number, ElementType(f"onnx_type_{number}", 0))


def dtype_of(tensor: TensorLike) -> str:
    """Return the dtype of a tensor: the name of the torch dtype if there is one."""
    if isinstance(tensor, ConstantValue):
        return tensor.dtype
    return (
        ELEMENT_TYPES[tensor.data_type].dtype if tensor.data_type in ELEMENT_TYPES else f"onnx_type_{tensor.data_type}"
    )
