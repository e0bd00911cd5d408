"""Lazy tensors with the elements of others in another layout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch

from filtercrawl.api.tensor_location import SliceBounds, row_major
from filtercrawl.extraction.lazy_tensor.base import LazyTensor, Stored, Unary, UnsupportedOperationError

# Elements of a reshaped tensor that are repetitions of stored ones.
_MAX_RESHAPED: Final = 1 << 24


@dataclass(frozen=True, kw_only=True)
class _Permuted(Unary):
    order: tuple[int, ...]

    def read(self, box: SliceBounds) -> torch.Tensor:
        inner = [(0, 0)] * len(box)
        for axis, bounds in zip(self.order, box, strict=True):
            inner[axis] = bounds
        return self.source.read(tuple(inner)).permute(self.order)


def permute(source: LazyTensor, order: tuple[int, ...]) -> LazyTensor:
    """Reorder the axes."""
    if sorted(order) != list(range(len(source.shape))):
        raise UnsupportedOperationError("not a permutation of the axes")
    shape = tuple(source.shape[axis] for axis in order)
    if isinstance(source, Stored):
        return source.view(shape, tuple(source.location.strides[axis] for axis in order))
    return _Permuted(shape=shape, dtype=source.dtype, source=source, order=order)


@dataclass(frozen=True, kw_only=True)
class _Reshaped(Unary):
    def read(self, box: SliceBounds) -> torch.Tensor:
        sizes = tuple(stop - start for start, stop in box)
        if 0 in sizes:
            return self.source.read(((0, 0),) * len(self.source.shape)).reshape(sizes)
        # The smallest box of the source that has all elements between the first and the last of this box.
        steps = row_major(self.shape)
        first = sum(start * step for (start, _), step in zip(box, steps, strict=True))
        last = sum((stop - 1) * step for (_, stop), step in zip(box, steps, strict=True))
        inner, base = _covering_box(self.source.shape, first, last)
        flat = self.source.read(inner).contiguous().view(-1)
        return flat.as_strided(sizes, steps, flat.storage_offset() + first - base)


def reshape(source: LazyTensor, shape: tuple[int, ...]) -> LazyTensor:
    """Give the elements another shape, in row-major order."""
    if math.prod(shape) != source.numel or min(shape, default=1) < 1:
        raise UnsupportedOperationError("another number of elements")
    if shape == source.shape:
        return source
    if isinstance(source, Stored):
        layout = torch.empty_strided(source.shape, source.location.strides, device="meta")
        try:
            return source.view(shape, layout.view(shape).stride())
        except RuntimeError:  # the elements are not in this order
            pass
    source.check_growth(_MAX_RESHAPED)  # of which a box may need the whole
    return _Reshaped(shape=shape, dtype=source.dtype, source=source)


def _covering_box(shape: tuple[int, ...], first: int, last: int) -> tuple[SliceBounds, int]:
    """Return the smallest contiguous box that includes two elements, and the position of its first element."""
    box: list[tuple[int, int]] = []
    base = 0
    for axis, step in enumerate(row_major(shape)):
        low, high = (first - base) // step, (last - base) // step
        base += low * step
        box.append((low, high + 1))
        if low != high:
            box += [(0, size) for size in shape[axis + 1 :]]
            break
    return tuple(box), base


@dataclass(frozen=True, kw_only=True)
class _Taken(Unary):
    axis: int
    indices: range | tuple[int, ...]

    def read(self, box: SliceBounds) -> torch.Tensor:
        start, stop = box[self.axis]
        wanted = self.indices[start:stop]
        low, high = (min(wanted), max(wanted) + 1) if wanted else (0, 0)
        part = self.source.read((*box[: self.axis], (low, high), *box[self.axis + 1 :]))
        return part.index_select(self.axis, torch.tensor([index - low for index in wanted], dtype=torch.int64))


def take(source: LazyTensor, axis: int, indices: range | tuple[int, ...]) -> LazyTensor:
    """Select indices of an axis: a slice with any step, or a list."""
    size = source.shape[axis]
    ends = (indices[0], indices[-1]) if isinstance(indices, range) and indices else indices
    if not ends or min(ends) < 0 or max(ends) >= size:
        raise UnsupportedOperationError("indices outside of the axis")
    if indices == range(size):
        return source
    shape = (*source.shape[:axis], len(indices), *source.shape[axis + 1 :])
    if isinstance(source, Stored) and isinstance(indices, range) and indices.step > 0:
        strides = source.location.strides
        steps = (*strides[:axis], strides[axis] * indices.step, *strides[axis + 1 :])
        return source.view(shape, steps, indices.start * strides[axis])
    return _Taken(shape=shape, dtype=source.dtype, source=source, axis=axis, indices=indices)


@dataclass(frozen=True, kw_only=True)
class _Broadcast(Unary):
    def read(self, box: SliceBounds) -> torch.Tensor:
        sizes = tuple(stop - start for start, stop in box)
        inner = box[len(box) - len(self.source.shape) :]
        inner = tuple((0, 1) if size == 1 else bounds for bounds, size in zip(inner, self.source.shape, strict=True))
        return self.source.read(inner).expand(sizes)


def broadcast(source: LazyTensor, shape: tuple[int, ...]) -> LazyTensor:
    """Repeat axes of size 1, and add axes in front, as NumPy does."""
    own = source.shape
    if len(own) > len(shape) or any(a not in (1, b) for a, b in zip(own[::-1], shape[::-1], strict=False)):
        raise UnsupportedOperationError(f"{list(own)} cannot be broadcast to {list(shape)}")
    return source if own == shape else _Broadcast(shape=shape, dtype=source.dtype, source=source)


@dataclass(frozen=True, kw_only=True)
class _Repeated(Unary):
    axis: int
    times: int

    def read(self, box: SliceBounds) -> torch.Tensor:
        start, stop = box[self.axis]
        first = start // self.times
        inner = (*box[: self.axis], (first, -(-stop // self.times)), *box[self.axis + 1 :])
        whole = self.source.read(inner).repeat_interleave(self.times, self.axis)
        return whole.narrow(self.axis, start - first * self.times, stop - start)


def repeat(source: LazyTensor, axis: int, times: int, size: int) -> LazyTensor:
    """Repeat each index of an axis: the scales of blocks of `times` elements, of which the last may be shorter."""
    if times < 1 or source.shape[axis] != -(-size // times):
        raise UnsupportedOperationError(f"{source.shape[axis]} blocks of {times} for {size} elements")
    if times == 1:
        return source
    shape = (*source.shape[:axis], size, *source.shape[axis + 1 :])
    return _Repeated(shape=shape, dtype=source.dtype, source=source, axis=axis, times=times)


@dataclass(frozen=True, kw_only=True)
class _Concatenated(LazyTensor):
    parts: tuple[LazyTensor, ...]
    axis: int

    @property
    def inputs(self) -> tuple[LazyTensor, ...]:
        return self.parts

    def read(self, box: SliceBounds) -> torch.Tensor:
        start, stop = box[self.axis]
        found = []
        begin = 0
        for part in self.parts:
            end = begin + part.shape[self.axis]
            low, high = max(start, begin), min(stop, end)
            if low < high:
                found.append(part.read((*box[: self.axis], (low - begin, high - begin), *box[self.axis + 1 :])))
            begin = end
        return torch.cat(found, self.axis) if found else self.parts[0].read(box)


def concatenate(parts: tuple[LazyTensor, ...], axis: int) -> LazyTensor:
    """Join tensors of one dtype along an axis."""
    first = parts[0]
    for part in parts:
        same = [a == b for i, (a, b) in enumerate(zip(part.shape, first.shape, strict=False)) if i != axis]
        if len(part.shape) != len(first.shape) or not all(same) or part.dtype != first.dtype:
            raise UnsupportedOperationError("parts of different shapes or dtypes")
    if len(parts) == 1:
        return first
    shape = (*first.shape[:axis], sum(part.shape[axis] for part in parts), *first.shape[axis + 1 :])
    return _Concatenated(shape=shape, dtype=first.dtype, parts=parts, axis=axis)


def broadcast_together(*sources: LazyTensor) -> tuple[LazyTensor, ...]:
    """Broadcast tensors to their common shape."""
    rank = max(len(source.shape) for source in sources)
    aligned = [(1,) * (rank - len(source.shape)) + source.shape for source in sources]
    shape = tuple(max(sizes) if 1 in sizes else sizes[0] for sizes in zip(*aligned, strict=True))
    return tuple(broadcast(source, shape) for source in sources)
