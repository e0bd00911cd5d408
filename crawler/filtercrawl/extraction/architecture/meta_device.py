"""Build modules on the meta device, without the memory and the time for their weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

from filtercrawl.api.errors import UnsupportedError
from filtercrawl.extraction.architecture.isolation import isolated_model_code

# Tensors of fewer numbers stay real: anchors, block widths and drop rates are computed from while a module is built.
_SMALL: Final = 4096
# Modules of one network. The largest that are known have some 50,000, of experts; making so many takes ten seconds.
MAX_MODULES: Final = 100_000
_FACTORIES: Final = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
# A config may ask for ranges of any length; those are few numbers each, but products of them are not.
_RANGES: Final = frozenset({torch.arange, torch.linspace, torch.eye})


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """Call the constructor of a model with everything large on the meta device.

    Some constructors compute with tensors (torchvision's RegNets, anchors of detectors); those are small and stay on
    the CPU. A
    constructor that mixes small and large ones is called again with all of them on the meta device. Random
    initialization costs
    nothing there, and the caller's random state is unchanged.

    Raises:
        UnsupportedError: The model has more modules than any known network: its sizes come from a stranger's config.
        Exception: Whatever the constructor raises.
    """
    with isolated_model_code():
        try:
            with _limited_modules(), _LargeOnMeta():
                return make().eval()
        except UnsupportedError:
            raise
        except Exception:  # noqa: BLE001 - whatever a constructor made of it; the second call raises what is wrong
            with _limited_modules(), torch.device("meta"):
                return make().eval()


@contextmanager
def _limited_modules() -> Iterator[None]:
    """Raise UnsupportedError from the constructor that makes one module too many; `isolated_model_code` is held."""
    count = 0

    def check(*_: object) -> None:
        nonlocal count
        count += 1
        if count > MAX_MODULES:
            raise UnsupportedError(f"it has more than {MAX_MODULES:,} modules")

    hook = register_module_module_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()


class _LargeOnMeta(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        free = func in _FACTORIES | _RANGES and given.get("device") is None and "out" not in given
        if free and (_numbers(args, given) if func in _FACTORIES else _length(args, given)) >= _SMALL:
            given["device"] = torch.device("meta")
        return func(*args, **given)


def _numbers(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    sizes = args or (kwargs.get("size", ()),)
    if sizes and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return math.prod(int(size) for size in sizes if isinstance(size, Integral))


def _length(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float:
    """Return an upper bound of the length of a range whose step is at least one, or of its number of steps."""
    return max((abs(float(value)) for value in (*args, *kwargs.values()) if isinstance(value, Real)), default=0)
