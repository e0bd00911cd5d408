"""Propose inputs for a network from the signature of its `forward`, by a table of parameter names."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

# Proposals for one call.
_MOST_VARIANTS: Final = 12
# Numbers of one input: 64 images of 512 x 512 pixels.
_LARGEST_INPUT: Final = 64 * 3 << 18

# Inputs that come from outside a network and are no embeddings: pixels and sound.
_OUTER: Final = frozenset(
    {"pixel_values", "pixel_values_videos", "input_values", "input_features", "audio_mel", "grid_thw", "image"}
)

Proposal = dict[str, dict[str, Any]]
"""Keyword arguments by the path of the module or method that is called; an empty path is the network itself."""


class Network:
    """A network whose inputs are wanted: its module, and its config with all configs nested in it.

    Args:
        module: The network, or a part of it that has a config of its own.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        config = getattr(module, "config", {})
        self.config: Mapping[str, Any] = config.to_dict() if hasattr(config, "to_dict") else dict(config)
        self.parameters = inspect.signature(module.forward).parameters
        self.first_convolution = next((part for part in module.modules() if isinstance(part, _ConvNd)), None)

    @property
    def rank(self) -> int:
        """Number of spatial axes of the first convolution; 0 without one."""
        return len(self.first_convolution.kernel_size) if self.first_convolution is not None else 0

    def value(self, *names: str, default: Any = None) -> Any:
        """Return the first of these settings that is not null; nested configs are searched level by level."""
        for name in names:
            for level in _levels(self.config):
                if (found := level.get(name)) is not None and not isinstance(found, bool):
                    return found
        return default

    def number(self, *names: str, default: int = 0) -> int:
        """Return the first of these settings that is a whole number; of a list the first one."""
        for name in names:
            found = self.value(name)
            found = found[0] if isinstance(found, list | tuple) and found else found
            if isinstance(found, int) and found > 0:
                return found
        return default

    def takes(self, name: str) -> bool:
        return name in self.parameters

    def requires(self, name: str) -> bool:
        return self.takes(name) and self.parameters[name].default is inspect.Parameter.empty


Rule = Callable[[Network], list[Any]]
"""Values to try for one parameter, the most likely ones first."""


def proposals(
    module: nn.Module, rules: Mapping[str, Rule], optional: frozenset[str], base: type[nn.Module]
) -> list[Proposal]:
    """Return calls to try, the most likely ones first.

    The network itself comes first, then working in tiles if it can. Where all its convolutions lie in models of their
    own that each take an input of the network, such as the vision tower of a language model, or all in one model, a
    call of each of these has the same depths.

    Args:
        module: A network of transformers or diffusers.
        rules: Values to try by the name of a parameter.
        optional: Parameters with a default that are given nevertheless.
        base: Class of the library's models, to find models inside the network.
    """
    found: list[Proposal] = [{"": arguments} for arguments in variants(Network(module), rules, optional)]
    if hasattr(module, "enable_tiling") and hasattr(module, "use_tiling"):
        found += [{"enable_tiling": {}, **calls} for calls in found]
    for parts in _parts(module, base):
        given = {path: list(variants(Network(part), rules, optional)) for path, part in parts.items()}
        combined = itertools.islice(itertools.product(*given.values()), _MOST_VARIANTS)
        found += [dict(zip(given, arguments, strict=True)) for arguments in combined]
    return found


def variants(network: Network, rules: Mapping[str, Rule], optional: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Yield keyword arguments of one call; none if no rule has a value for a parameter without default."""
    values: dict[str, list[Any]] = {}
    for name, parameter in network.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        required = parameter.default is parameter.empty
        if not required and name not in optional:
            continue
        tried = _distinct(rules[name](network)) if name in rules else []
        if tried:
            values[name] = tried
        elif required:
            return
    if values:
        yield from itertools.islice(_by_number_of_changes(values, rules), _MOST_VARIANTS)


def constant(*values: Any) -> Rule:
    """Return a rule with the same values for every network."""
    return lambda _: list(values)


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return a tensor without numbers."""
    return torch.empty(shape, dtype=dtype, device="meta")


def _by_number_of_changes(values: Mapping[str, list[Any]], rules: Mapping[str, Rule]) -> Iterator[dict[str, Any]]:
    """Yield combinations, those with the fewest values that are not the first of their list first.

    Parameters with the same rule, such as latents and the latents of a condition, change together.
    """
    kinds = {rules[name]: tried for name, tried in values.items()}
    choices = itertools.product(*(range(len(tried)) for tried in kinds.values()))
    most = itertools.islice(choices, 4096)
    for chosen in sorted(most, key=lambda indices: (sum(i > 0 for i in indices), sum(indices))):
        index = dict(zip(kinds, chosen, strict=True))
        yield {name: tried[index[rules[name]]] for name, tried in values.items()}


def _distinct(values: list[Any]) -> list[Any]:
    """Return the values that are small enough, tensors of one shape without numbers once."""
    found: dict[Any, Any] = {}
    for value in filter(_is_small, values):
        key = tuple(value.shape) if isinstance(value, torch.Tensor) and value.is_meta else id(value)
        found.setdefault(key, value)
    return list(found.values())


def _is_small(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return math.prod(value.shape) <= _LARGEST_INPUT
    return all(map(_is_small, value)) if isinstance(value, list | tuple) else True


def _parts(module: nn.Module, base: type[nn.Module]) -> Iterator[dict[str, nn.Module]]:
    """Yield the outermost models inside a network that hold its convolutions, then those inside these."""
    parts = _models_in(module, base)
    while parts and parts != {"": module}:
        # Whatever the only one with convolutions takes, none comes before it.
        from_outside = len(parts) == 1 or all(_takes_an_input(Network(part)) for part in parts.values())
        if from_outside and _all_hold(module, parts):
            yield parts
        deeper = {
            f"{path}.{name}": inner for path, part in parts.items() for name, inner in _models_in(part, base).items()
        }
        if not deeper:
            return
        parts = deeper


def _models_in(module: nn.Module, base: type[nn.Module]) -> dict[str, nn.Module]:
    """Return the outermost models with convolutions below a module, by their path."""
    found: dict[str, nn.Module] = {}
    for name, part in module.named_modules():
        inside = any(name.startswith(f"{path}.") for path in found)
        if name and not inside and isinstance(part, base) and _convolutions(part):
            found[name] = part
    return found


def _all_hold(module: nn.Module, parts: Mapping[str, nn.Module]) -> bool:
    return _convolutions(module) == set().union(*map(_convolutions, parts.values()))


def _convolutions(module: nn.Module) -> set[nn.Module]:
    return {part for part in module.modules() if isinstance(part, _ConvNd)}


def _takes_an_input(network: Network) -> bool:
    """Return whether a model inside a network takes pixels or sound, which come from outside, not embeddings."""
    return any(name in network.parameters for name in _OUTER)


def _levels(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a config, then the configs in it, then those in these."""
    level = [config]
    while level:
        yield from level
        level = [inner for outer in level for inner in outer.values() if isinstance(inner, Mapping)]
