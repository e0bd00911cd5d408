"""Counting of torch's operator calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch.utils._python_dispatch import TorchDispatchMode

# Operators that wait for the device, as they need its numbers on the host.
WAITING: Final = frozenset({
    "aten._local_scalar_dense.default", "aten.bincount.default", "aten.equal.default", "aten.is_nonzero.default",
    "aten.masked_select.default", "aten.nonzero.default", "aten.repeat_interleave.Tensor", "aten._unique2.default",
    "aten.unique_dim.default",
})  # fmt: skip


class OperatorCalls(TorchDispatchMode):
    """Records the operators that are called within the block, views included."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))
