"""Find the batch normalization that takes exactly the output of a convolution while a network runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.extraction.architecture.weight_origin import address
from filtercrawl.extraction.state_dict_names import split_raw_parameter_name

_ATEN: Final = torch.ops.aten
_WITHOUT_TRAINING: Final = _ATEN._native_batch_norm_legit_no_training.default  # noqa: SLF001 - an operator's name
# Operators whose arguments begin with input, scale, offset, mean, variance and, but for one, whether it is training.
_NORMS: Final = frozenset(
    {
        _WITHOUT_TRAINING,
        _ATEN.native_batch_norm.default,
        _ATEN._native_batch_norm_legit.default,  # noqa: SLF001 - as above
    }
)
# These only name the output again.
_NAMES: Final = frozenset({_ATEN.detach.default, _ATEN.alias.default})
# Normalizations of torchvision and timm that compute with products and sums.
_FROZEN: Final = frozenset({"FrozenBatchNorm2d", "FrozenBatchNormAct2d"})


class NormUses:
    """Records what takes the outputs of convolutions.

    Args:
        name_of: Returns the name in the state dict of a tensor whose numbers are stored, None for any other.
    """

    def __init__(self, name_of: Callable[[torch.Tensor], str | None]) -> None:
        self._name_of = name_of
        # A weak reference keeps a storage's address from being given to another one, and not its memory.
        self._outputs: dict[int, tuple[StorageWeakRef, int]] = {}
        self._users: dict[int, list[FollowingNorm | None]] = defaultdict(list)
        self._frozen: set[str] = set()

    def add_output(self, output: torch.Tensor, call: int) -> None:
        """Record the output of a convolution, by the number of its call."""
        reference = StorageWeakRef(output.untyped_storage())  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._outputs[address(output)] = reference, call

    def add_operator(self, func: Any, args: Sequence[Any], taken: Iterable[torch.Tensor], caller: str) -> None:
        """Record that an operator takes tensors, in the module `caller`."""
        if func in _NAMES or caller in self._frozen:
            return
        for tensor in taken:
            call = self._call(tensor)
            if call is not None:
                normalized = func in _NORMS and tensor is args[0]
                self._users[call].append(self._norm(func, args) if normalized else None)

    def enter(self, path: str, module: nn.Module, args: Sequence[Any]) -> None:
        """Record that a module is called: normalizations that are no single operator are known by their class."""
        if type(module).__name__ not in _FROZEN:
            return
        self._frozen.add(path)
        call = self._call(args[0]) if args and isinstance(args[0], torch.Tensor) else None
        if call is not None:
            leaves = ("weight", "bias", "running_mean", "running_var")
            self._users[call].append(self._tensors([getattr(module, leaf, None) for leaf in leaves]))

    def add_results(self, results: Iterable[torch.Tensor]) -> None:
        """Record what the network returns."""
        for tensor in results:
            call = self._call(tensor)
            if call is not None:
                self._users[call].append(None)

    def norm_of(self, call: int) -> FollowingNorm | None:
        """Return the normalization that alone takes the output of a convolution, None if there is none."""
        users = self._users.get(call, [])
        return users[0] if len(users) == 1 else None

    def _call(self, tensor: torch.Tensor) -> int | None:
        found = self._outputs.get(address(tensor))
        return found[1] if found else None

    def _norm(self, func: Any, args: Sequence[Any]) -> FollowingNorm | None:
        training = func is not _WITHOUT_TRAINING and args[5]
        return None if training else self._tensors(args[1:5])

    def _tensors(self, values: Sequence[torch.Tensor | None]) -> FollowingNorm | None:
        """Return the names of numbers; None if they are not stored as they are used, or are those of the batch."""
        names = [None if value is None else self._name_of(value) for value in values]
        scale, offset, mean, variance = names
        computed = any(name is None and value is not None for name, value in zip(names, values, strict=True))
        if computed or mean is None or variance is None:
            return None
        path = split_raw_parameter_name(variance)[0]
        return FollowingNorm(path=path, scale=scale, offset=offset, mean=mean, variance=variance)
