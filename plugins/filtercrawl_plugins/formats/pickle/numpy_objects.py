"""What NumPy's calls in a pickle become: arrays and dtypes, as data. Arguments: `numpy/_core/multiarray.py`."""

from __future__ import annotations

from typing import Final

from filtercrawl_plugins.formats.pickle.interpreter import Machine
from filtercrawl_plugins.formats.pickle.objects import (
    NumpyArray,
    NumpyDType,
    PickledBytes,
    to_name,
)

Arguments = tuple[object, ...]

# torch dtypes by the type code of a NumPy dtype.
NUMPY_DTYPES: Final = {
    "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128", "b1": "bool",
    "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64",
}  # fmt: skip


def empty_array(_: Machine, __: Arguments) -> object:
    """Return an array that gets its shape, dtype and data from `set_array_state`."""
    return NumpyArray()


def array_from_buffer(_: Machine, args: Arguments) -> object:
    """Return an array from (buffer, dtype, shape, order), as protocol 5 writes them."""
    match args:
        case (bytes() | PickledBytes() as data, NumpyDType() as dtype, tuple(shape), order, *_):
            return NumpyArray(shape, dtype, order in ("F", b"F"), data)
    raise TypeError("invalid arguments of a NumPy array")


def numpy_dtype(_: Machine, args: Arguments) -> object:
    """Return a NumPy dtype; `set_dtype_state` sets its byte order."""
    code = to_name(args[0]) if args else None
    return NumpyDType(code or "")


def set_dtype_state(target: NumpyDType, state: object) -> None:
    """Apply the state of `numpy.dtype.__setstate__`: (version, byte order, ...)."""
    match state:
        case (_, order, *_):
            target.byte_order = to_name(order) or "?"


def set_array_state(target: NumpyArray, state: object) -> None:
    """Apply the state of `numpy.ndarray.__setstate__`: (version, shape, dtype, is Fortran order, data)."""
    match state:
        case (_, tuple(shape), NumpyDType() as dtype, fortran_order, data):
            target.shape, target.dtype, target.fortran_order, target.data = shape, dtype, bool(fortran_order), data
        case _:
            raise TypeError("invalid state of a NumPy array")
