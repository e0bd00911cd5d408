"""The other tensors of a tensor's module, and of the modules below it."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import WRAPPER_PARTS, split_raw_parameter_name, strip_wrapper_prefixes

# Tensors below a module that are looked at, and wrappers in one path.
_MAX_BELOW: Final = 64
_MAX_WRAPPERS: Final = 32

Root = tuple[str, ...]


class ModuleIndex:
    """The tensors of a checkpoint by module; a module is a container and a path in it."""

    def __init__(self, tensors: Iterable[StoredTensor]) -> None:
        self._modules: dict[tuple[Root, str], dict[str, StoredTensor]] = defaultdict(dict)
        self._by_root: dict[Root, dict[str, StoredTensor]] = defaultdict(dict)
        for tensor in tensors:
            module, leaf = split_raw_parameter_name(tensor.key)
            self._modules[tensor.root, module].setdefault(leaf, tensor)
            self._by_root[tensor.root].setdefault(tensor.key, tensor)
        self._sorted: dict[Root, list[str]] = {}
        self._below: dict[tuple[Root, str], tuple[StoredTensor, ...]] = {}
        self._wraps: dict[tuple[Root, str], bool] = {}

    def siblings(self, tensor: StoredTensor) -> Mapping[str, StoredTensor]:
        """Return the tensors of the module of a tensor, itself included, by the names of the parameters."""
        return self._modules[tensor.root, split_raw_parameter_name(tensor.key)[0]]

    def following(self, tensor: StoredTensor) -> Mapping[str, StoredTensor]:
        """Return the tensors of the module behind that of a tensor in a Sequential, by the names of the parameters."""
        parent, dot, place = split_raw_parameter_name(tensor.key)[0].rpartition(".")
        following = f"{parent}{dot}{int(place) + 1}" if place.isdecimal() else None
        return {} if following is None else self._modules.get((tensor.root, following), {})

    def below(self, tensor: StoredTensor) -> tuple[StoredTensor, ...]:
        """Return the tensors of the modules below the module of a tensor, at most 64."""
        root, module = tensor.root, split_raw_parameter_name(tensor.key)[0]
        if (root, module) not in self._below:  # all tensors of a module have the same, and may be many
            seen = islice(
                self._prefixed(root, f"{module}." if module else ""), _MAX_BELOW + len(self._modules[root, module])
            )
            below = (found for found in seen if split_raw_parameter_name(found.key)[0] != module)
            self._below[root, module] = tuple(islice(below, _MAX_BELOW))
        return self._below[root, module]

    def module_path(self, tensor: StoredTensor) -> str:
        """Return the path of the module of a tensor without the names that wrappers add, wherever they stand.

        `module` is a wrapper's at the head of a path, and where its parent has nothing else and is no repeated block:
        `backbone.module.conv`, but not `blocks.0.module.conv`.
        """
        module = split_raw_parameter_name(tensor.key)[0]
        stripped = strip_wrapper_prefixes(f"{module}.").removesuffix(".")
        head = len(module) - len(stripped)
        parts: list[str] = []
        position, wrappers, repeated = head, 0, False
        for part in stripped.split(".") if stripped else ():
            own = part not in WRAPPER_PARTS
            if part == "module" and not repeated and wrappers < _MAX_WRAPPERS:
                own = not self._only_child(tensor.root, module[: max(position - 1, 0)])
            position += len(part) + 1
            repeated = repeated or part.isdigit()
            wrappers += not own
            if own or wrappers > _MAX_WRAPPERS:
                parts.append(part)
        return ".".join(parts)

    def _only_child(self, root: Root, parent: str) -> bool:
        """Return whether every tensor below a module is below its child `module`."""
        if (root, parent) not in self._wraps:
            keys = self._keys(root)
            child = f"{parent}.module."
            first, last = bisect_left(keys, f"{parent}."), bisect_left(keys, f"{parent}/") - 1
            self._wraps[root, parent] = keys[first].startswith(child) and keys[last].startswith(child)
        return self._wraps[root, parent]

    def _prefixed(self, root: Root, prefix: str) -> Iterator[StoredTensor]:
        keys = self._keys(root)
        for i in range(bisect_left(keys, prefix), len(keys)):
            if not keys[i].startswith(prefix):
                return
            yield self._by_root[root][keys[i]]

    def _keys(self, root: Root) -> list[str]:
        if root not in self._sorted:
            self._sorted[root] = sorted(self._by_root[root])
        return self._sorted[root]
