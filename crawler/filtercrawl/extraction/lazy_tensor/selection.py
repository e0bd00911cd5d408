"""Lazy tensors with elements of others among constants, or of several others."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from filtercrawl.api.tensor_location import SliceBounds
from filtercrawl.extraction.lazy_tensor.base import LazyTensor, Unary, UnsupportedOperationError
from filtercrawl.extraction.lazy_tensor.reshaping import broadcast_together


@dataclass(frozen=True, kw_only=True)
class _Padded(Unary):
    before: tuple[int, ...]
    value: float

    def read(self, box: SliceBounds) -> torch.Tensor:
        # The part of the box that is inside of the source, in the coordinates of the source.
        inner = tuple(
            (max(start - before, 0), min(stop - before, size))
            for (start, stop), before, size in zip(box, self.before, self.source.shape, strict=True)
        )
        is_outside = any(start >= stop for start, stop in inner)
        part = self.source.read(((0, 1),) * len(box) if is_outside else inner)
        result = part.new_full([stop - start for start, stop in box], self.value)
        if not is_outside:
            places = zip(inner, self.before, box, strict=True)
            result[tuple(slice(a + before - start, b + before - start) for (a, b), before, (start, _) in places)] = part
        return result


def pad(source: LazyTensor, before: tuple[int, ...], after: tuple[int, ...], value: float = 0) -> LazyTensor:
    """Surround a tensor by a constant.

    Args:
        source: The tensor.
        before: Elements in front of each axis.
        after: Elements behind each axis.
        value: The constant, rounded to the dtype.
    """
    if not len(before) == len(after) == len(source.shape) or min((*before, *after), default=0) < 0 or not source.numel:
        raise UnsupportedOperationError(f"{before} and {after} elements around {list(source.shape)}")
    if not any(before) and not any(after):
        return source
    shape = tuple(sum(sizes) for sizes in zip(before, source.shape, after, strict=True))
    return _Padded(shape=shape, dtype=source.dtype, source=source, before=before, value=value)


@dataclass(frozen=True, kw_only=True)
class _Chosen(LazyTensor):
    condition: LazyTensor
    choices: tuple[LazyTensor, LazyTensor]

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return (*self.choices, self.condition)

    def read(self, box: SliceBounds) -> torch.Tensor:
        first, second = self.choices
        return torch.where(self.condition.read(box), first.read(box), second.read(box))


def choose(condition: LazyTensor, first: LazyTensor, second: LazyTensor) -> LazyTensor:
    """Take each element from the first tensor where a condition of dtype `bool` is true, else from the second."""
    if condition.dtype != "bool" or first.dtype != second.dtype:
        raise UnsupportedOperationError(f"{condition.dtype} chooses from {first.dtype} and {second.dtype}")
    condition, first, second = broadcast_together(condition, first, second)
    return _Chosen(shape=first.shape, dtype=first.dtype, condition=condition, choices=(first, second))
