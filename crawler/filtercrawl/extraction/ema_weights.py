"""Raw weights beside their moving average: which tensors are the raw copies, and what the averages are called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import strip_wrapper_prefixes

_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|avg|averaged?)(?=_|$)", re.IGNORECASE)
# A set of averages counts as a copy of the weights beside it when this share of it has a partner.
_MATCHED: Final = 0.9

KeyPath = tuple[str, ...]
Pair = tuple[StoredTensor, StoredTensor]


@dataclass(frozen=True, kw_only=True)
class EmaWeights:
    """ema_source_names: names of tensors whose moving average is in the same file; keys: an average's name -> its
    partner's key.
    """

    ema_source_names: frozenset[str] = frozenset()
    ema_key_to_source_key: Mapping[str, str] = field(default_factory=dict)


def find_ema_weights(tensors: Sequence[StoredTensor]) -> EmaWeights:
    """Find the moving averages in a checkpoint.

    A set of averages is a container or a first name component with the word `ema` (or `swa`, `average`) in it:
    `params_ema`, `state_dict_ema`, `model_ema.`. Its partner is a set of the same names below another container, of the
    same shapes, by preference the one that is called the same but for that word. Some trainers drop the dots from
    the names of averages: names are compared without them, and the partner's name is the whole one.
    """
    places = {tensor.name: key_path(tensor) for tensor in tensors}
    marked = {tensor.name: ema_marker(places[tensor.name], len(tensor.root)) for tensor in tensors}
    found = set(filter(None, marked.values()))
    # What holds averages beside other things is a container, and those other things are raw.
    sets = {one for one in found if not any(len(other) > len(one) and other[: len(one)] == one for other in found)}
    averages: dict[KeyPath, list[StoredTensor]] = defaultdict(list)
    raw: dict[tuple[str, tuple[int, ...]], list[tuple[KeyPath, StoredTensor]]] = defaultdict(list)
    for tensor in tensors:
        if marked[tensor.name] in sets:
            averages[marked[tensor.name]].append(tensor)
            continue
        place = places[tensor.name]
        for start in range(min(len(tensor.root) + 2, len(place))):
            raw["".join(place[start:]), tensor.shape].append((place[:start], tensor))
    names: set[str] = set()
    keys: dict[str, str] = {}
    for root, members in averages.items():
        partners: dict[KeyPath, list[Pair]] = defaultdict(list)
        for tensor in members:
            tail = "".join(places[tensor.name][len(root) :])
            for before, partner in raw.get((tail, tensor.shape), []):
                partners[before].append((tensor, partner))
        for tensor, partner in matching_pairs(partners, root, sum(bool(tensor.shape) for tensor in members)):
            names.add(partner.name)
            keys.setdefault(tensor.name, partner.key)
    return EmaWeights(ema_source_names=frozenset(names), ema_key_to_source_key=keys)


def matching_pairs(partners: Mapping[KeyPath, list[Pair]], root: KeyPath, size: int) -> list[Pair]:
    """Return the pairs of the containers that hold a partner for nearly each of a set's `size` averages."""
    # Single numbers are no weights: the decay and the count of updates that trainers put beside the averages.
    least = max(1, _MATCHED * size)
    whole = {p: pairs for p, pairs in partners.items() if sum(bool(average.shape) for average, _ in pairs) >= least}
    namesake = [pairs for p, pairs in whole.items() if p and p[-1] == _AVERAGE.sub("", root[-1]).strip("_")]
    return [pair for pairs in namesake or whole.values() for pair in pairs]


def key_path(tensor: StoredTensor) -> KeyPath:
    """The components of a name: the containers, then those of the key, wrappers left out."""
    return (*tensor.root, *(part for part in tensor.key.split(".") if strip_wrapper_prefixes(f"{part}.")))


def ema_marker(place: KeyPath, containers: int) -> KeyPath:
    """Return the container of the set of averages that a tensor is in, empty where it is in none."""
    last = max((i for i, part in enumerate(place[: containers + 1]) if _AVERAGE.search(part)), default=None)
    end = 0 if last is None else max(last + 1, containers)
    return place[:end] if end < len(place) else ()
