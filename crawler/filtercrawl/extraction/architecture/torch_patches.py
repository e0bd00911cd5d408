"""Functions of torch that raise on tensors without numbers, replaced while a network runs.

They are the process's, so all of this happens under the lock of `isolated_model_code`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import torch
import torch.fx.experimental._config as fx_config
from torch.overrides import TorchFunctionMode

_FROM_NUMBERS: Final = frozenset({torch.tensor, torch.as_tensor})


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        if device_type == "meta":
            device_type, args, kwargs = "cpu", (), {"enabled": False}
        super().__init__(device_type, *args, **kwargs)


class _WithNumbers(TorchFunctionMode):
    """Makes tensors of given numbers, such as the sizes of feature maps, with these numbers, not on the meta device."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func in _FROM_NUMBERS and given.get("device") is not None and torch.device(given["device"]).type == "meta":
            del given["device"]
        return func(*args, **given)


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **options: Any) -> torch.Tensor:
    """Stand in for `flex_attention` on `[batch, heads, tokens, numbers]`: no mask, and scores as they are."""
    if options.get("enable_gqa"):
        heads = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(heads, dim=1), value.repeat_interleave(heads, dim=1)
    return (query @ key.mT) @ value


@contextmanager
def adapted_to_meta() -> Iterator[None]:
    """Let `torch.autocast(tensor.device.type)` do nothing on the meta device, and `torch.tensor` keep its numbers.

    `flex_attention`, where a network has imported it, becomes a product; torch has it for real devices only.
    """
    flex = sys.modules.get("torch.nn.attention.flex_attention")
    attention = _replaced(flex, "flex_attention", _attention) if flex else nullcontext()
    with _replaced(torch, "autocast", _Autocast), _WithNumbers(), attention:
        yield


@contextmanager
def without_checks() -> Iterator[None]:
    """Let checks of numbers pass, and `nonzero` select every number of a tensor without numbers.

    Networks check so, by a ValueError, that a text has as many tokens for an image as the image has features. Checks of
    shapes, by which torch raises a RuntimeError, remain.
    """
    check = torch._check_with  # noqa: SLF001 - as it is called

    def check_shapes(error: type[Exception], holds: bool, message: Any = None) -> None:
        if error is not ValueError:
            check(error, holds, message)

    with (
        _replaced(torch, "_check_with", check_shapes),
        _replaced(torch, "_check_tensor_all_with", _passes),
        _replaced(fx_config, "meta_nonzero_assume_all_nonzero", True),
    ):
        yield


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _passes(*_: Any) -> None:
    """Check nothing."""
