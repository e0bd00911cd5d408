"""Results of operators where only their shapes matter."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from filtercrawl.extraction.architecture.weight_origin import address

META: Final = torch.device("meta")
CONVOLUTION: Final = torch.ops.aten.convolution.default
_INDEX: Final = torch.ops.aten.index.Tensor
_ITEM: Final = torch.ops.aten._local_scalar_dense.default  # noqa: SLF001 - an operator's name
_PRODUCTS: Final = frozenset(
    {
        torch.ops.aten.mm.default,
        torch.ops.aten.addmm.default,
        torch.ops.aten.bmm.default,
        torch.ops.aten.baddbmm.default,
    }
)
# On the CPU, a product of more numbers is not computed.
_LARGE_PRODUCT: Final = 1 << 16
# Bytes of one result on the CPU.
_LARGEST_RESULT: Final = 1 << 30
# Where networks run on the meta device, results of more numbers than these have none; those of few inputs are computed.
_MANY_INPUTS: Final = 1 << 12
_MANY_RESULTS: Final = 1 << 20


def peak_memory() -> int:
    """Return the most bytes that the process has had in memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def zeros(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return zeros that take no memory until they are written; torch writes those that it makes itself."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if not n_bytes:
        return torch.zeros(tuple(shape), dtype=dtype)
    held = torch.from_numpy(np.zeros(n_bytes, dtype=np.uint8))
    return held.view(dtype).view(tuple(shape))


def storage_size(tensor: torch.Tensor) -> int:
    """Return how many numbers a tensor spans by its shape and strides, from its own offset."""
    if tensor.numel() == 0:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))


def convolved(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """Return the result of a convolution; on the CPU zeros."""
    if args[0].is_meta:
        made: torch.Tensor = CONVOLUTION(*args, **kwargs)
        return made
    shape = CONVOLUTION(*_on_meta(args), **_on_meta(kwargs)).shape
    return zeros(shape, args[0].dtype)


def result_of(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], device: torch.device) -> Any:
    """Return the result of an operator; on the CPU that of a large product is zeros.

    Where networks run on the meta device, some of their tensors have numbers, such as token ids. What is computed from
    these alone has numbers too unless it is large, such as a mask over all pairs of tokens.

    Raises:
        MemoryError: The result takes more memory than any network needs for one example.
    """
    if device == META:
        made = _large_on_meta(func, args, kwargs)
        return func(*args, **kwargs) if made is None else made
    created = {} if tensors(args) or tensors(kwargs) else {"device": META}
    given, named = _on_meta(args), {**_on_meta(kwargs), **created}
    try:
        made = func(*given, **named)
    except Exception:  # noqa: BLE001 - its shape depends on numbers, and is at most that of its arguments
        return func(*args, **kwargs)
    present = {address(tensor) for tensor in [*tensors(given), *tensors(named)]}
    if any(tensor.nbytes > _LARGEST_RESULT for tensor in tensors([made]) if address(tensor) not in present):
        raise MemoryError("it takes too much memory")
    if func in _PRODUCTS and made.numel() > _LARGE_PRODUCT:
        return zeros(made.shape, made.dtype)
    return func(*args, **kwargs)


def _large_on_meta(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the result of an operator without numbers if it has many; None if it has to be computed."""
    taken = [*tensors(args), *tensors(kwargs)]
    if any(tensor.is_meta for tensor in taken) or func._schema.is_mutable:  # noqa: SLF001 - torch has no other way to ask
        return None
    if taken and sum(tensor.numel() for tensor in taken) < _MANY_INPUTS:
        return None
    try:
        made = func(*_on_meta(args), **{**_on_meta(kwargs), **({} if taken else {"device": META})})
    except Exception:  # noqa: BLE001 - its shape depends on numbers, or it is no operator that makes tensors
        return None
    found = tensors([made])
    return made if sum(tensor.numel() for tensor in found) > _MANY_RESULTS else None


def is_product(func: Any) -> bool:
    """Return whether an operator multiplies matrices: a fully connected layer, or attention."""
    return func in _PRODUCTS or "attention" in str(func)


def is_condition(func: Any, taken: list[torch.Tensor]) -> bool:
    """Return whether an operator asks for a truth value that is not known."""
    return func is _ITEM and taken[0].is_meta and taken[0].dtype == torch.bool


def is_composite(func: Any) -> bool:
    """Return whether an operator, such as conv2d, still has to be taken apart; in inference mode torch leaves that."""
    return torch.is_inference_mode_enabled() and bool(func._can_decompose())  # noqa: SLF001 - torch has no other way to ask


def without_masks(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of an operator; of an index, masks that have numbers as positions.

    The other tensors may have no numbers, and a mask that is moved to them would lose its own: how many it selects.
    """
    if func is not _INDEX:
        return args
    found: list[torch.Tensor | None] = []
    for index in args[1]:
        if index is not None and index.dtype == torch.bool and not index.is_meta:
            found.extend(index.nonzero(as_tuple=True))
        else:
            found.append(index)
    return (args[0], found)


def tensors(values: Any) -> list[torch.Tensor]:
    """Return the tensors in nested lists, tuples and mappings."""
    found: list[torch.Tensor] = []
    for value in values.values() if isinstance(values, Mapping) else values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, tuple | list | Mapping):
            found.extend(tensors(value))
    return found


def _on_meta(values: Any) -> Any:
    """Return nested values with their tensors, and devices, on the meta device."""
    if isinstance(values, torch.Tensor):
        return values.to(META)
    if isinstance(values, tuple | list):
        return type(values)([_on_meta(value) for value in values])
    if isinstance(values, Mapping):
        return {key: META if key == "device" else _on_meta(item) for key, item in values.items()}
    return values
