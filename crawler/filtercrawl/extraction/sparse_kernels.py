"""Kernels of sparse 3-D convolutions, which spconv stores as `[*k, in, out]` (1.x) or `[out, *k, in]` (2.x)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.sibling_evidence import is_per_channel
from filtercrawl.extraction.siblings import ModuleIndex, Root
from filtercrawl.extraction.state_dict_names import is_weight_name, parameter_name

Shape = tuple[int, ...]

# Longest axis of a kernel of sparse convolutions.
_MAX_SIZE: Final = 7
# Smallest axes that are channels rather than the size of a kernel, where both are equal.
_MIN_CHANNELS: Final = 8


def sparse_kernels(tensors: Iterable[StoredTensor], modules: ModuleIndex) -> frozenset[str]:
    """Return the names of weights of five axes that are not in the order of torch, or may not be.

    Where a state dict proves one, its others are open too, unless torch's order is the only one that gives a kernel.

    Args:
        tensors: All tensors of a checkpoint.
        modules: The same by module.
    """
    states: dict[Root, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        stated = tensor.convolution is not None or tensor.layout is not None or tensor.reason is not None
        if len(tensor.shape) == 5 and not stated and is_weight_name(parameter_name(tensor.key)):
            states[tensor.root].append(tensor)
    sparse = [state for state in states.values() if any(_is_sparse(one.shape, _outputs(one, modules)) for one in state)]
    return frozenset(one.name for state in sparse for one in state if _may_be_sparse(one.shape))


def _outputs(tensor: StoredTensor, modules: ModuleIndex) -> int | None:
    """Return the number of output channels by the bias of a module, or by the BatchNorm behind it in a Sequential."""
    found = modules.siblings(tensor).get("bias") or modules.following(tensor).get("running_mean")
    return found.shape[0] if found is not None and len(found.shape) == 1 else None


def _is_sparse(shape: Shape, outputs: int | None) -> bool:
    """Return whether the number of outputs contradicts torch's order, or the kernel in that order is implausible.

    Kernels are mostly cubes: torch's would be 3x16x32 for `[3, 3, 3, 16, 32]`, or 3x3x32 for `[16, 3, 3, 3, 32]`.
    """
    if not _may_be_sparse(shape) or _is_cube(shape[2:]):
        return False
    first, inputs, last = shape[0], shape[3], shape[4]
    if outputs is not None and not is_per_channel(shape, outputs):
        return outputs == last
    if _is_cube(shape[:3]):
        channels = min(inputs, last)
        return outputs in (None, last) and (channels >= _MIN_CHANNELS or inputs != last != 1 != inputs)
    return _is_cube(shape[1:4]) and outputs in (None, first) and last > inputs


def _may_be_sparse(shape: Shape) -> bool:
    """Return whether the sizes of a kernel may be the first three axes, or the middle ones."""
    return min(max(shape[:3]), max(shape[1:4])) <= _MAX_SIZE


def _is_cube(sizes: Shape) -> bool:
    return len(set(sizes)) == 1 < sizes[0]
