"""Determine which stored tensor the weight of a convolution is computed from, and how."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from filtercrawl.extraction.architecture.depth import DepthState
from filtercrawl.extraction.state_dict_names import split_parameter_name


@dataclass(frozen=True, kw_only=True)
class OwnedTensor:
    """A parameter or buffer of a module, with all its names.

    Attributes:
        learned: False for a buffer, None for a frozen parameter.
    """

    names: tuple[str, ...]
    tensor: torch.Tensor
    learned: bool | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)


class ValueOrigin(NamedTuple):
    """What a value was computed from.

    Attributes:
        sources: Bit mask of the tensors of the module.
        of_input: Whether the network's input takes part.
        same: Index of the tensor whose numbers these are, unchanged.
    """

    trail: DepthState = DepthState()
    sources: int = 0
    of_input: bool = False
    same: int | None = None

    def join(self, other: ValueOrigin) -> ValueOrigin:
        """Return the origin of a value computed from both."""
        trail = self.trail.join(other.trail)
        return ValueOrigin(trail, self.sources | other.sources, self.of_input or other.of_input)


@dataclass(frozen=True, kw_only=True)
class WeightOrigin:
    """A stored tensor that a convolution uses.

    Attributes:
        kind: The weight kind; None for a tensor that kernels are generated from.
        as_stored: False if the convolution sees the numbers in another layout, for example without an axis, or a part
            of them.
    """

    index: int
    kind: str | None
    as_stored: bool = True
    bank: tuple[int, ...] | None = None


def owned_tensors(module: nn.Module) -> list[OwnedTensor]:
    """Return parameters and buffers, each storage once: tied weights may be one tensor or several."""
    found: dict[tuple[object, ...], OwnedTensor] = {}
    held: list[tuple[str, torch.Tensor, bool]] = []
    held += [(name, tensor, True) for name, tensor in module.named_parameters(remove_duplicate=False)]
    held += [(name, tensor, False) for name, tensor in module.named_buffers(remove_duplicate=False)]
    for name, tensor, is_parameter in held:
        place = address(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride()
        known = found.get(place)
        learned = (True if tensor.requires_grad else None) if is_parameter else False
        names = (*known.names, name) if known else (name,)
        found[place] = OwnedTensor(names=names, tensor=known.tensor if known else tensor, learned=learned)
    return list(found.values())


def address(tensor: torch.Tensor) -> int:
    """Return the address of the storage of a tensor; views have that of their base."""
    if tensor.layout != torch.strided:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - the only name that a storage has


def weight_origins(
    weight: torch.Tensor, origin: ValueOrigin, caller: str, owned: list[OwnedTensor]
) -> Iterator[WeightOrigin]:
    """Yield the tensors whose kernels a convolution in the module `caller` uses, as far as that is proven.

    A weight computed only from stored tensors belongs to the one with its shape: it is normalized or masked on the
    way. If the
    input takes part, only the calling module is searched, for a bank of experts with as many numbers each as the
    weight.
    """
    shape = tuple(weight.shape)
    if origin.same is not None:
        source = owned[origin.same]
        kind = "fixed" if source.learned is False else "learned"
        yield WeightOrigin(index=origin.same, kind=kind, as_stored=_as_stored(weight, source.tensor))
        return
    every = [i for i in range(origin.sources.bit_length()) if origin.sources >> i & 1]
    near = [i for i in every if any(split_parameter_name(name)[0] == caller for name in owned[i].names)]
    among = near if origin.of_input else every
    alike = [i for i in among if owned[i].shape == shape]
    # A mask is of the same shape as what it masks, and a buffer.
    alike = [i for i in alike if owned[i].learned is not False] or alike
    if alike:
        for i in alike:
            yield WeightOrigin(index=i, kind="fixed" if owned[i].learned is False else "standardized")
    elif origin.of_input:
        for i in near:
            if _is_bank(owned[i].shape, shape):
                yield WeightOrigin(index=i, kind="dynamic_bank", bank=shape)
    else:
        for i in every:
            if len(owned[i].shape) > 1 and owned[i].learned is not False:
                yield WeightOrigin(index=i, kind=None)


def _as_stored(used: torch.Tensor, stored: torch.Tensor) -> bool:
    """Return whether a weight is the stored tensor, in any memory order, or its single kernel for every channel."""
    if used.shape == stored.shape:
        # Transposing a square weight changes its strides too, but into those of no order of memory.
        orders = [torch.contiguous_format, *([torch.channels_last] if used.dim() == 4 else [])]
        return used.stride() == stored.stride() or any(used.is_contiguous(memory_format=order) for order in orders)
    return used.dim() == stored.dim() and stored.shape[0] == 1 and stored.shape[1:] == used.shape[1:]


def _is_bank(stored: tuple[int, ...], kernels: tuple[int, ...]) -> bool:
    return len(stored) > 1 and stored[1:] in (kernels, (math.prod(kernels),))
