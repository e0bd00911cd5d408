"""A TorchDispatchMode that records what each value of a running network was computed from."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from filtercrawl.extraction.architecture.depth import CallGraph
from filtercrawl.extraction.architecture.norm_uses import NormUses
from filtercrawl.extraction.architecture.operators import (
    CONVOLUTION,
    META,
    convolved,
    is_composite,
    is_condition,
    is_product,
    peak_memory,
    result_of,
    storage_size,
    tensors,
    without_masks,
    zeros,
)
from filtercrawl.extraction.architecture.place import CallShape, size_reduction
from filtercrawl.extraction.architecture.weight_origin import (
    OwnedTensor,
    ValueOrigin,
    WeightOrigin,
    address,
    weight_origins,
)

# Bytes by which the peak of the process may grow while a network runs; what it makes of one example is far less.
_MOST_MEMORY: Final = 2 << 30
# An operator that takes much memory takes longer than this, and most take none.
_SECONDS_BETWEEN_LOOKS: Final = 0.01
# After these the numbers are still the stored ones.
_COPIES: Final = frozenset({torch.ops.aten.clone.default, torch.ops.aten._to_copy.default})  # noqa: SLF001 - an operator's name


@dataclass(frozen=True, kw_only=True)
class ConvolutionCall:
    """One call of a convolution with a stored tensor; the other fields are arguments of `aten.convolution`.

    Attributes:
        index: Number of the call among all calls.
        owner: The stored tensor it uses.
    """

    index: int
    owner: WeightOrigin
    transposed: bool
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, kw_only=True)
class Tracing:
    """How a network is run.

    Attributes:
        until: Deadline by `time.monotonic`; a TimeoutError is raised after it.
        device: `meta` or `cpu`, where tensors of two devices are joined; on the CPU every tensor has data.
        conditions_are_false: Whether a truth value that depends on numbers is false on the meta device, not an error.
    """

    until: float
    device: str = "meta"
    conditions_are_false: bool = False


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Labels the storage of every tensor with its origin.

    Views share a storage and therefore a label; writing into a storage extends its label.

    Args:
        owned: Tensors of the state dict.
        sample: Arguments of the call.
        tracing: How the network is run.
    """

    def __init__(self, owned: list[OwnedTensor], sample: Iterable[Any], tracing: Tracing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.calls = CallGraph()
        self.used: list[ConvolutionCall] = []
        # Spatial size of the input of the first convolution.
        self._first_size: tuple[int, ...] | None = None
        # Addresses of the tensors that an operator has taken.
        self.taken: set[int] = set()
        self.norms = NormUses(self._name_of)
        self._held = owned
        self._device = torch.device(tracing.device)
        self._tracing = tracing
        self._peak = peak_memory()
        self._next_look = 0.0
        self._callers: list[str] = [""]
        # A weak reference keeps a storage's address from being given to another one, and not its memory.
        self._origins: dict[int, tuple[StorageWeakRef, ValueOrigin]] = {}
        for i, item in enumerate(owned):
            self._set(item.tensor, ValueOrigin(sources=1 << i, same=i))
        for tensor in tensors(sample):
            self._set(tensor, ValueOrigin(of_input=True))

    def watch(self, module: nn.Module) -> Iterator[Any]:
        """Record which submodule is running; yields the handles of the hooks."""
        for name, part in module.named_modules():
            yield part.register_forward_pre_hook(lambda part, args, name=name: self._enter(name, part, args))
            yield part.register_forward_hook(lambda *_: _drop(self._callers), always_call=True)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._check_limits()
        given = dict(kwargs or {})
        if is_composite(func):
            with self:
                return func.decompose(*args, **given)
        args = without_masks(func, args)
        taken = first_taken = [*tensors(args), *tensors(given.values())]
        self.norms.add_operator(func, args, taken, self._callers[-1])
        if self._tracing.conditions_are_false and is_condition(func, taken):
            return False
        n_meta = sum(tensor.is_meta for tensor in taken)
        other_device = self._device != META or given.get("device", META) != META
        if n_meta and (n_meta < len(taken) or other_device):
            args, given = self._join_origins(args), self._join_origins(given)
            taken = [*tensors(args), *tensors(given.values())]
        self.taken.update(map(address, first_taken))
        origins = [self._get(tensor) for tensor in taken]
        joined = ValueOrigin()
        for origin in origins:
            joined = joined.join(origin)
        if func is CONVOLUTION:
            made, joined = self._convolve(args, given, origins[1], joined)
        else:
            made = result_of(func, args, given, self._device)
            if is_product(func):
                joined = joined._replace(trail=joined.trail.multiplied())
                if sum(origin.of_input for origin in origins) > 1:
                    self.calls.attend()
            if func in _COPIES and origins:
                joined = origins[0]
        known = {address(tensor): origin for tensor, origin in zip(taken, origins, strict=True)}
        mutable = func._schema.is_mutable  # noqa: SLF001 - torch has no other way to ask
        self._label(made, taken if mutable else [], known, joined)
        if mutable and taken is not first_taken:
            # What was written into is a copy; the network goes on with the tensor itself.
            self._set(first_taken[0], joined)
        return made

    def _label(
        self, made: Any, written: list[torch.Tensor], known: Mapping[int, ValueOrigin], joined: ValueOrigin
    ) -> None:
        """Set the origin of results, or of what was written into; views of what was only read keep theirs."""
        for tensor in tensors([made]) or written:
            own = known.get(address(tensor))
            if own is None:
                self._set(tensor, joined)
            elif written:
                self._set(tensor, own.join(joined))

    def _check_limits(self) -> None:
        now = time.monotonic()
        if now > self._tracing.until:
            raise TimeoutError("it takes too long")
        if now > self._next_look:
            self._next_look = now + _SECONDS_BETWEEN_LOOKS
            if peak_memory() - self._peak > _MOST_MEMORY:
                raise MemoryError("it takes too much memory")

    def _convolve(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], weight_origin: ValueOrigin, joined: ValueOrigin
    ) -> tuple[torch.Tensor, ValueOrigin]:
        result = convolved(args, kwargs)
        values, weight, _, stride, padding, dilation, transposed, _, groups = args
        index, size, taps = len(self.calls), tuple(values.shape[2:]), math.prod(weight.shape[2:])
        self.norms.add_output(result, index)
        self._first_size = self._first_size or size
        covers = groups == 1 and not any(padding) and taps > 1
        covers = covers and not transposed and math.prod(result.shape[2:]) == 1
        covers = covers and _spans(weight.shape[2:], dilation) == size
        shape = CallShape(
            taps=taps,
            groups=groups,
            depthwise=groups > 1 and groups == (weight.shape[0] if transposed else values.shape[1]),
            covers=covers,
            on_point=math.prod(size) == taps == 1,
            reduction=size_reduction(self._first_size, size),
            of_input=self._get(values).of_input,
        )
        for owner in weight_origins(weight, weight_origin, self._callers[-1], self._held):
            self.used.append(
                ConvolutionCall(
                    index=index,
                    owner=owner,
                    transposed=transposed,
                    stride=tuple(stride),
                    padding=tuple(padding),
                    dilation=tuple(dilation),
                    groups=groups,
                )
            )
        return result, joined._replace(trail=self.calls.add(joined.trail, shape), same=None)

    def _join_origins(self, values: Any) -> Any:
        """Move tensors to the one device, as zeros if they had no data."""
        if isinstance(values, torch.Tensor) and values.device != self._device:
            if self._device == META:
                moved = torch.empty_strided(values.shape, values.stride(), dtype=values.dtype, device=META)
            else:
                moved = zeros((storage_size(values),), values.dtype).as_strided(values.shape, values.stride())
            self._set(moved, self._get(values))
            return moved
        if isinstance(values, tuple | list):
            return type(values)([self._join_origins(value) for value in values])
        if isinstance(values, dict):
            return {key: self._device if key == "device" else self._join_origins(item) for key, item in values.items()}
        return values

    def _enter(self, path: str, module: nn.Module, args: Sequence[Any]) -> None:
        self._callers.append(path)
        self.norms.enter(path, module, args)

    def _name_of(self, tensor: torch.Tensor) -> str | None:
        same = self._get(tensor).same
        return None if same is None else self._held[same].names[0]

    def _get(self, tensor: torch.Tensor) -> ValueOrigin:
        found = self._origins.get(address(tensor))
        return found[1] if found else ValueOrigin()

    def _set(self, tensor: torch.Tensor, origin: ValueOrigin) -> None:
        if tensor.layout == torch.strided:
            reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # as above
            self._origins[address(tensor)] = reference, origin


def _spans(kernel: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def _drop(callers: list[str]) -> None:
    callers.pop()
