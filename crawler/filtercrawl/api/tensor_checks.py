"""What readers hand over, checked once: every name, size and number is of a type that the dataset can hold.

A file may claim anything. Names are stored as `untrusted_names` says, integers have 63 bits, and a boolean is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.convolution import Convolution, FollowingNorm, Standardization
from filtercrawl.api.errors import CheckpointError, FormatError, UnsafeFileError
from filtercrawl.api.formatting import shorten, shown
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.untrusted_names import is_safe_name, safe_name

# The largest size, and the largest number of elements, that the int64 columns hold.
_LARGEST: Final = 2**63 - 1
# Characters of a name; the longest of a real network has about 300. Every layer repeats it in several columns.
_MAX_NAME: Final = 4096
_MAX_DTYPE: Final = 64
# Axes of an array of NumPy.
_MAX_AXES: Final = 64
_TEXTS: Final = ("name", "key", "layer", "bias", "reason", "rule", "weight_kind")


def checked_tensors(file: str, tensors: Iterable[StoredTensor]) -> tuple[StoredTensor, ...]:
    """Check what a reader yields, and escape its names.

    Args:
        file: Name of the checkpoint for the message.
        tensors: Its tensors.

    Returns:
        The tensors as they may be stored; those without unprintable names unchanged.

    Raises:
        FormatError: A size or a number of a tensor is not possible; the message names the first.
        UnsafeFileError: A name is too long, or a tensor has too many axes.
    """
    return tuple(_checked(file, tensor) for tensor in tensors)


def checked_training(file: str, training: TrainingState | None) -> TrainingState | None:
    """Check how far training was, by what a reader yields; raises FormatError."""
    if training is not None:
        for name, number in vars(training).items():
            if number is not None and not _is_size(number):
                raise FormatError(f"{file}: states the {name} {shown(number)}; that is no number of 63 bits")
    return training


def _checked(file: str, tensor: StoredTensor) -> StoredTensor:
    _check_names(file, tensor)
    for shape in (tensor.shape, tensor.weight_shape, tensor.bank or ()):
        if (wrong := _shape_fault(shape)) is not None:
            kind, what = wrong  # put into words only now: most tensors have no fault, and there are many
            raise kind(f"{file}: the tensor {shown(tensor.name)} has the shape {shown(shape)}{what}")
    if (fault := _convolution_fault(tensor.convolution) or _quantization_fault(tensor)) is not None:
        raise FormatError(f"{file}: the tensor {shown(tensor.name)} {fault}")
    changes = _names_to_escape(tensor)
    if tensor.parts:
        changes["parts"] = tuple(_checked(file, part) for part in tensor.parts)
    return replace(tensor, **changes) if changes else tensor


def _check_names(file: str, tensor: StoredTensor) -> None:
    names = (tensor.name, tensor.key, tensor.dtype, tensor.layer or "", *tensor.root)
    for name in names:
        if not isinstance(name, str):
            raise FormatError(f"{file}: {shown(name)} is the name of a tensor; names are texts")
        if len(name) > _MAX_NAME and name is not tensor.dtype:
            what = f"has a tensor with a name of {len(name):,} characters ({shown(name)})"
            raise UnsafeFileError(f"{file}: {what}; at most {_MAX_NAME:,} are read")


def _names_to_escape(tensor: StoredTensor) -> dict[str, Any]:
    """Return the fields of a tensor that hold text which may not be stored as it is, with what is stored."""
    changes: dict[str, Any] = {
        name: safe_name(text)
        for name in _TEXTS
        if (text := getattr(tensor, name)) is not None and not is_safe_name(text)
    }
    if not is_safe_name(tensor.dtype) or len(tensor.dtype) > _MAX_DTYPE:
        changes["dtype"] = shorten(safe_name(tensor.dtype[: _MAX_DTYPE + 1]), _MAX_DTYPE)
    for name in ("root", "notes"):
        if not all(map(is_safe_name, texts := getattr(tensor, name))):
            changes[name] = tuple(map(safe_name, texts))
    for name in ("norm", "standardization"):
        if (facts := getattr(tensor, name)) is not None and (escaped := _escaped(facts)) is not facts:
            changes[name] = escaped
    return changes


def _shape_fault(shape: tuple[int, ...]) -> tuple[type[CheckpointError], str] | None:
    """Return the error of a shape that is not possible, and what is said after the shape; None for others."""
    if isinstance(shape, tuple) and len(shape) > _MAX_AXES:
        return UnsafeFileError, f", {len(shape):,} axes; at most {_MAX_AXES} are read"
    if not isinstance(shape, tuple) or not all(map(_is_size, shape)):
        return FormatError, "; sizes are integers from 0 to 2^63 - 1"
    if math.prod(shape) > _LARGEST:
        return FormatError, "; that is 2^63 numbers or more"
    return None


def _convolution_fault(facts: Convolution | None) -> str | None:
    if facts is None:
        return None
    if facts.groups is not None and not (_is_size(facts.groups) and facts.groups > 0):
        return f"belongs to a convolution with {shown(facts.groups)} groups; that is no positive integer of 63 bits"
    return None


def _quantization_fault(tensor: StoredTensor) -> str | None:
    """Say what does not fit of the scale and zero point of a tensor; None where nothing is wrong."""
    facts: Quantization | None = tensor.quantization
    if facts is None:
        return None
    if type(facts.axis) is not int or not 0 <= facts.axis < max(len(tensor.shape), 1):
        return f"has a scale along axis {shown(facts.axis)}, which it has not"
    for name in ("scale", "zero_point"):
        numbers = getattr(facts, name)
        if len(numbers) != 1 and (not tensor.shape or len(numbers) != tensor.shape[facts.axis]):
            return f"has {len(numbers):,} numbers of its {name} for the shape {shown(tensor.shape)}"
    if not all(isinstance(number, float | int) and not isinstance(number, bool) for number in facts.scale):
        return f"has the scale {shown(facts.scale)}, which is no number"
    if not all(type(number) is int and -(2**31) <= number < 2**31 for number in facts.zero_point):
        return f"has the zero point {shown(facts.zero_point)}; zero points are integers of 32 bits"
    return None


def _escaped(facts: FollowingNorm | Standardization) -> FollowingNorm | Standardization:
    """Return a record of facts with the names of tensors in it escaped; the same object where none is to be."""
    changes: dict[str, Any] = {
        name: safe_name(text) for name, text in vars(facts).items() if isinstance(text, str) and not is_safe_name(text)
    }
    return replace(facts, **changes) if changes else facts


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST
