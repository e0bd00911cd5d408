"""Find moving averages of weights (EMA, SWA) that a checkpoint stores beside the raw weights."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import strip_wrapper_prefixes

_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|avg|averaged?)(?=_|$)", re.IGNORECASE)
# A set of averages is accepted if at least this share of it has a raw counterpart.
_MATCHED: Final = 0.9

KeyPath = tuple[str, ...]
Pair = tuple[StoredTensor, StoredTensor]


@dataclass(frozen=True, kw_only=True)
class EmaWeights:
    """Moving averages in a checkpoint.

    Attributes:
        ema_source_names: Names of raw tensors whose average is in the same file.
        ema_key_to_source_key: Key of the raw tensor, by the name of its average.
    """

    ema_source_names: frozenset[str] = frozenset()
    ema_key_to_source_key: Mapping[str, str] = field(default_factory=dict)


def find_ema_weights(tensors: Sequence[StoredTensor]) -> EmaWeights:
    """Find the moving averages in a checkpoint.

    A set of averages is a container, or a first name component, with the word `ema` (or `swa`, `average`) in its name:
    `params_ema`, `state_dict_ema`, `model_ema.`. The raw weights are a set of the same names and shapes below another
    container, preferably the one with the same name without that word. Some trainers drop the dots from the names of
    averages, so names are compared without dots, and the raw tensor's key is used.
    """
    paths = {tensor.name: key_path(tensor) for tensor in tensors}
    marked = {tensor.name: ema_marker(paths[tensor.name], len(tensor.root)) for tensor in tensors}
    found = set(filter(None, marked.values()))
    # Only the innermost marked containers are sets of averages; what else an outer one holds is raw.
    sets = {one for one in found if not any(len(other) > len(one) and other[: len(one)] == one for other in found)}
    averages: dict[KeyPath, list[StoredTensor]] = defaultdict(list)
    raw: dict[tuple[str, tuple[int, ...]], list[tuple[KeyPath, StoredTensor]]] = defaultdict(list)
    for tensor in tensors:
        if marked[tensor.name] in sets:
            averages[marked[tensor.name]].append(tensor)
            continue
        path = paths[tensor.name]
        for start in range(min(len(tensor.root) + 2, len(path))):
            raw["".join(path[start:]), tensor.shape].append((path[:start], tensor))
    names: set[str] = set()
    keys: dict[str, str] = {}
    for root, members in averages.items():
        partners: dict[KeyPath, list[Pair]] = defaultdict(list)
        for tensor in members:
            tail = "".join(paths[tensor.name][len(root) :])
            for before, partner in raw.get((tail, tensor.shape), []):
                partners[before].append((tensor, partner))
        for tensor, partner in matching_pairs(partners, root, sum(bool(tensor.shape) for tensor in members)):
            names.add(partner.name)
            keys.setdefault(tensor.name, partner.key)
    return EmaWeights(ema_source_names=frozenset(names), ema_key_to_source_key=keys)


def matching_pairs(partners: Mapping[KeyPath, list[Pair]], root: KeyPath, size: int) -> list[Pair]:
    """Return the pairs of the containers that hold a raw counterpart for nearly all of the `size` averages of a set."""
    # Scalars do not count: trainers store the decay and the number of updates beside the averages.
    needed = max(1, _MATCHED * size)
    complete = {p: pairs for p, pairs in partners.items() if sum(bool(average.shape) for average, _ in pairs) >= needed}
    namesake = [pairs for p, pairs in complete.items() if p and p[-1] == _AVERAGE.sub("", root[-1]).strip("_")]
    return [pair for pairs in namesake or complete.values() for pair in pairs]


def key_path(tensor: StoredTensor) -> KeyPath:
    """Return the components of a name: containers, then the parts of the key, without wrappers."""
    return (*tensor.root, *(part for part in tensor.key.split(".") if strip_wrapper_prefixes(f"{part}.")))


def ema_marker(path: KeyPath, containers: int) -> KeyPath:
    """Return the container of the set of averages that a tensor belongs to, empty if there is none."""
    last = max((i for i, part in enumerate(path[: containers + 1]) if _AVERAGE.search(part)), default=None)
    end = 0 if last is None else max(last + 1, containers)
    return path[:end] if end < len(path) else ()
