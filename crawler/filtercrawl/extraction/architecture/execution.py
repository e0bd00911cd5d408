"""Run a network on example inputs, without numbers where that is possible."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from filtercrawl.extraction.architecture.dispatch_mode import Tracer, Tracing
from filtercrawl.extraction.architecture.operators import tensors, zeros
from filtercrawl.extraction.architecture.torch_patches import adapted_to_meta, without_checks
from filtercrawl.extraction.architecture.weight_origin import OwnedTensor, address, owned_tensors

# Zeros take no memory until they are written, but the address space of a machine has an end.
_LARGEST: Final = 8 << 30

Calls = Mapping[str, tuple[Any, ...] | Mapping[str, Any]]
"""Positional or keyword arguments by the path of the module, or of the method of one, that is called; an empty path is
the network itself."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A network that has been run.

    Attributes:
        owned: Tensors of its state dict.
        tracer: What was recorded.
        called: Paths of the modules that were called; an empty path is the network itself.
    """

    owned: list[OwnedTensor]
    tracer: Tracer
    called: tuple[str, ...]


def execute(module: nn.Module, attempts: Sequence[Calls], seconds: float) -> Execution:
    """Run a network on the first inputs that it takes.

    Inputs are tried on the meta device; then again where every truth value that depends on numbers is false, such as
    whether a mask is empty, and nothing is checked by numbers; then on the CPU with zeros for weights and inputs, as
    detectors look at the numbers of their boxes, unless that takes too much memory.

    Args:
        module: The network; parameters on the meta device are replaced by zeros if it is run on the CPU.
        attempts: Calls to try, the most likely ones first.
        seconds: Time limit for all attempts.

    Raises:
        TimeoutError: The time limit was reached.
        MemoryError: A result, or all of them together, take more memory than a network needs for one example.
        ValueError: There are no attempts.
        Exception: What the first attempt raised.
    """
    until = time.monotonic() + seconds
    problem: Exception | None = None
    for tracing in (
        Tracing(until=until),
        Tracing(until=until, conditions_are_false=True),
        Tracing(until=until, device="cpu"),
    ):
        if tracing.device == "cpu":
            if not _fill_with_zeros(module):
                break
            attempts = [{path: _zeros(arguments) for path, arguments in calls.items()} for calls in attempts]
        try:
            return _first_that_runs(module, attempts, tracing)
        except (TimeoutError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - networks are other people's code; what they raise is theirs
            problem = error
    assert problem is not None
    raise problem


def _first_that_runs(module: nn.Module, attempts: Sequence[Calls], tracing: Tracing) -> Execution:
    problem: Exception | None = None
    for calls in attempts:
        try:
            return _run(module, calls, tracing)
        except (TimeoutError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            # Its traceback would keep the values of the run alive.
            problem = problem or error.with_traceback(None)
            problem.__context__ = problem.__cause__ = None
    raise problem or ValueError("no example of what its forward takes is known")


def _run(module: nn.Module, calls: Calls, tracing: Tracing) -> Execution:
    owned = owned_tensors(module)
    # Objects of a library, such as sessions and caches, keep what one run computed.
    calls = copy.deepcopy(calls, {id(tensor): tensor for tensor in tensors(calls)})
    tracer = Tracer(owned, calls.values(), tracing)
    lenient = without_checks() if tracing.conditions_are_false else nullcontext()
    with _attributes_restored(module), adapted_to_meta(), lenient, torch.no_grad(), tracer:
        module.eval()
        handles = list(tracer.watch(module))
        try:
            for path, arguments in calls.items():
                part = _attribute(module, path)
                result = part(**arguments) if isinstance(arguments, Mapping) else part(*arguments)
                tracer.norms.add_results(tensors([result]))
        finally:
            for handle in handles:
                handle.remove()
    for arguments in calls.values():
        _require_use(arguments, tracer)
    if len(tracer.calls) == 0 and any(isinstance(part, _ConvNd) for part in module.modules()):
        raise ValueError("it reaches no convolution")
    return Execution(owned=owned, tracer=tracer, called=tuple(_module_path(module, path) for path in calls))


def _attribute(module: nn.Module, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), module) if path else module


def _module_path(module: nn.Module, path: str) -> str:
    """Return the path of a module, or of the module whose method a path names."""
    return path if isinstance(_attribute(module, path), nn.Module) else path.rpartition(".")[0]


def _require_use(arguments: tuple[Any, ...] | Mapping[str, Any], tracer: Tracer) -> None:
    """Raise ValueError if an example is not computed with: the depths would be those of another use of the network.

    Language models leave images aside where the text has no token for them. Single numbers, such as a time, and token
    ids may be left aside, and so may what is given within a list or mapping.
    """
    for name, value in arguments.items() if isinstance(arguments, Mapping) else ():
        is_example = isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() > 1
        if is_example and address(value) not in tracer.taken:
            raise ValueError(f"it leaves aside the input {name}")


@contextmanager
def _attributes_restored(module: nn.Module) -> Iterator[None]:
    # Modules keep what they computed, such as anchors: without numbers, and of one size of image.
    before = [(part, dict(vars(part))) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)


def _fill_with_zeros(module: nn.Module) -> bool:
    """Replace parameters without data by zeros; returns False if that takes too much memory."""
    held = owned_tensors(module)
    if sum(item.tensor.nbytes for item in held if item.tensor.is_meta) > _LARGEST:
        return False
    modules = dict(module.named_modules(remove_duplicate=False))
    for item in held:
        if item.tensor.is_meta:
            filled = zeros(item.shape, item.tensor.dtype)
            if isinstance(item.tensor, nn.Parameter):
                filled = nn.Parameter(filled, requires_grad=item.tensor.requires_grad)
            for name in item.names:
                path, _, leaf = name.rpartition(".")
                setattr(modules[path], leaf, filled)
    return True


def _zeros(value: Any) -> Any:
    """Replace tensors without numbers by zeros; those that have numbers, such as sizes of images, keep them."""
    if isinstance(value, torch.Tensor):
        return zeros(value.shape, value.dtype) if value.is_meta else value
    if isinstance(value, tuple | list):
        return type(value)([_zeros(item) for item in value])
    return {key: _zeros(item) for key, item in value.items()} if isinstance(value, Mapping) else value
