"""Compare what a reader yields with what a sample says that it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import describe_error
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.reader_sample import ExpectedTensor

_AXES: Final = "yield the axes in the order of torch: `filtercrawl.api.arrange(tensor, Layout...)` moves them"
_OFFSET: Final = "look at the offset of its location: it is that of element [0, ..., 0]"

# Bytes by which an offset is tried to be wrong.
_MAX_SHIFT: Final = 65


def compare(tensors: dict[str, StoredTensor], expected: dict[str, ExpectedTensor]) -> Iterator[Violation]:
    """Yield where the tensors of a reader differ from those of the sample."""
    if missing := sorted(expected.keys() - tensors.keys()):
        yield (
            f"the sample has {missing[0]!r}, and `tensors` does not yield it",
            "yield every tensor by its full name, also those that are no kernels: the ledger lists all",
        )
    if unknown := sorted(tensors.keys() - expected.keys()):
        yield (
            f"`tensors` yields {unknown[0]!r}, which the sample does not state",
            "state every tensor of the file in `ReaderSample.tensors`, or do not yield what is none",
        )
    for name in sorted(expected.keys() & tensors.keys()):
        for what, todo in _differences(tensors[name], expected[name]):
            yield f"{name}: {what}", todo


def sample_faults(expected: dict[str, ExpectedTensor]) -> Iterator[Violation]:
    """Yield why a sample could not show that a reader is wrong."""
    if not expected:
        yield "a sample states no tensors", "state every tensor of the file in `ReaderSample.tensors`"
    for name, tensor in expected.items():
        values = None if tensor.values is None else np.asarray(tensor.values)
        if values is None and tensor.reason is None:
            yield f"the sample has neither values nor a reason for {name}", "give the numbers that the file holds"
        if values is not None and values.size > 1 and (values.ravel()[0] == values).all():
            yield (
                f"all numbers of {name} are equal, so that no wrong offset or order is seen",
                "give each element a number of its own",
            )


def _differences(tensor: StoredTensor, expected: ExpectedTensor) -> Iterator[Violation]:
    if expected.stored_dtype and tensor.dtype != expected.stored_dtype:
        yield (
            f"has the dtype {tensor.dtype!r}, and the sample {expected.stored_dtype!r}",
            "state the dtype that the file states, by torch's name; do not convert",
        )
    if tensor.reason != expected.reason:
        yield (
            f"has the reason {tensor.reason!r}, and the sample {expected.reason!r}",
            "give a reason only where the file shows that the tensor is no kernel",
        )
    if tensor.layout != expected.layout:
        yield (
            f"has the layout {tensor.layout!r}, and the sample {expected.layout!r}",
            "pass kernels in another order than torch's through `filtercrawl.api.arrange`, which states the layout",
        )
    yield from _convolution(tensor.convolution, expected.convolution)
    for name, fact in expected.facts.items():
        if getattr(tensor, name, None) != fact:
            yield f"{name} is {getattr(tensor, name, None)!r}, and in the sample {fact!r}", "state what the file shows"
    if expected.values is not None:
        yield from _values(tensor, np.asarray(expected.values), expected.stored_dtype)


def _convolution(found: Convolution | None, expected: Convolution | None) -> Iterator[Violation]:
    if found == expected:
        return
    if found is None or expected is None:
        which = "states a convolution, and the sample none" if found else "states no convolution, and the sample does"
        yield which, "state in `convolution` what the file proves about the operator that uses the weight, no more"
        return
    for field in fields(Convolution):
        mine, stated = getattr(found, field.name), getattr(expected, field.name)
        if mine != stated:
            yield (
                f"its convolution has {field.name}={mine!r}, and the sample {stated!r}",
                "take it from the file; None where the file does not state it",
            )


def _values(tensor: StoredTensor, expected: NDArray[Any], dtype: str) -> Iterator[Violation]:
    if tensor.weight is None and tensor.location is None:
        yield "has no location, and the sample has its numbers", "say where they are: `TensorLocation`"
        return
    if tensor.weight_shape != expected.shape:
        yield f"has the shape {tensor.weight_shape}, and the sample {expected.shape}", _AXES
        return
    try:
        found = _read(tensor, expected, dtype)
    except Exception as error:  # noqa: BLE001 - a plugin's files may raise anything
        yield f"reading its numbers raises {describe_error(error)}", "look at offset, shape and strides of its location"
        return
    if found.dtype == expected.dtype and found.tobytes() == expected.tobytes():
        return
    wanted = expected if found.dtype == expected.dtype else expected.astype(np.float32)
    wrong = np.argwhere(~((found == wanted) | (np.isnan(found) & np.isnan(wanted))))
    if len(wrong):
        index = tuple(int(place) for place in wrong[0])
        yield (
            f"{len(wrong)} of {found.size} numbers are wrong: {list(index)} is {found[index]}, in the sample "
            f"{wanted[index]}",
            _cause(tensor, found, wanted),
        )
    elif found.tobytes() != wanted.tobytes() and not np.isnan(wanted).any():
        yield "the bits of its zeros differ from the sample's", "keep the sign of zeros: yield the bytes as stored"


def _read(tensor: StoredTensor, expected: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return the numbers of a tensor in the dtype of the expected ones, or else as float32."""
    from filtercrawl.extraction.to_float32 import read_float32

    whole = tuple((0, size) for size in tensor.weight_shape)
    if tensor.weight is not None:
        return np.asarray(tensor.weight.read_float32(whole))
    location = tensor.location
    assert location is not None
    if tensor.quantization is None and dtype == location.dtype == expected.dtype.name:
        raw = location.read(whole)
        stored = raw.reshape(-1).view(expected.dtype.newbyteorder("<")).reshape(expected.shape)
        return stored.astype(expected.dtype.newbyteorder("="))
    return read_float32(location, whole, tensor.quantization).numpy()


def _cause(tensor: StoredTensor, found: NDArray[Any], expected: NDArray[Any]) -> str:
    """Return what to do, by what the wrong numbers look like."""
    if np.array_equal(np.sort(found, axis=None), np.sort(expected, axis=None)):
        return _AXES
    if np.array_equal(found.byteswap(), expected):
        return "elements are little-endian: read others through a file that swaps their bytes"
    strides = () if tensor.location is None else tensor.location.strides
    order = sorted(range(len(strides)), key=lambda axis: -strides[axis]) or list(range(found.ndim))
    mine, stated = found.transpose(order).tobytes(), expected.transpose(order).tobytes()
    for shift in range(1, min(_MAX_SHIFT, len(mine) // 2)):
        if mine[shift:] == stated[:-shift] or mine[:-shift] == stated[shift:]:
            return f"it starts {shift} bytes from where it should: {_OFFSET}"
    return f"{_OFFSET}; then at its dtype and its strides"
