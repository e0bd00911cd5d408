"""Sets of moving averages (EMA, SWA) beside the raw weights of the same names and shapes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import WRAPPER_PARTS

_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|moving_average|avg|averaged?)(?=_|$)", re.IGNORECASE)
# The words that only mean averages of weights; `avg` may be a pooling.
_TRAINED_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|moving_average|averaged)(?=_|$)", re.IGNORECASE)
# Names of a whole network, as opposed to a branch of it.
_NETWORK: Final = re.compile(
    r"^(model|model_state|net|network|nn|module|unet|dit|transformer|diffusion|diffusion_model|denoiser|score_model"
    r"|generator|gen|g|netg|g_net|params|state_dict|model_state_dict|weights|policy|actor)$",
    re.IGNORECASE,
)
_ANY: Final = re.compile("")
# Counters that averages of weights are stored with, all of which must be there.
_COUNTERS: Final = (frozenset({"n_averaged"}), frozenset({"decay", "num_updates"}), frozenset({"initted", "step"}))
# A set of averages is accepted if at least this share of it has a raw counterpart.
MATCHED: Final = 0.9

KeyPath = tuple[str, ...]
Pair = tuple[StoredTensor, StoredTensor]
# The end of a path without dots, and the shape of its tensor.
Tail = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class AverageSet:
    """A set of averages that a trainer stored.

    Attributes:
        tensors: All of its tensors.
        pairs: Those that have a raw tensor, with it; with several where several sets of raw weights have these names.
    """

    tensors: Sequence[StoredTensor]
    pairs: Sequence[Pair]


class Averages:
    """The sets of averages in a checkpoint that a trainer left beside the raw weights.

    The raw weights are a set of the same names and shapes below another container or module, preferably the one with
    the same name without the word. Some trainers drop the dots from the names of averages, so names are compared
    without dots.
    """

    def __init__(self, tensors: Sequence[StoredTensor]) -> None:
        self._tensors = tensors
        self._paths = {tensor.name: key_path(tensor) for tensor in tensors}
        self._counted = self._counted_sets()
        self._counted_lengths = {len(path) for path in self._counted}
        # Number of tensors in each container, without scalars.
        self._solid = Counter(tensor.root for tensor in tensors if tensor.shape)

    def sets(self) -> list[AverageSet]:
        """Return the sets of averages, in the order of the file.

        Modules of other names than a network's are averages only where a file has no other ones.
        """
        return list(self._sets(_NETWORK)) or list(self._sets(_ANY))

    def _sets(self, networks: re.Pattern[str]) -> Iterator[AverageSet]:
        """Yield sets of averages, with modules among them whose names without the word match `networks`."""
        marked = {tensor.name: self._marker(tensor, networks) for tensor in self._tensors}
        found = set(filter(None, marked.values()))
        # Only the innermost marked containers are sets of averages; what else an outer one holds is raw.
        lengths = {len(one) for one in found}
        outer = {one[:end] for one in found for end in lengths if end < len(one)}
        members: dict[KeyPath, list[StoredTensor]] = defaultdict(list)
        others: list[StoredTensor] = []
        for tensor in self._tensors:
            if marked[tensor.name] and marked[tensor.name] not in outer:
                members[marked[tensor.name]].append(tensor)
            else:
                others.append(tensor)
        tails = {
            tensor.name: ("".join(self._paths[tensor.name][len(root) :]), tensor.shape)
            for root, averages in members.items()
            for tensor in averages
        }
        raw = self._by_tail(others, set(tails.values()))
        for root, averages in members.items():
            partners: dict[KeyPath, list[Pair]] = defaultdict(list)
            for tensor in averages:
                for before, partner in raw.get(tails[tensor.name], []):
                    partners[before].append((tensor, partner))
            # Scalars do not count: trainers store the decay and the number of updates beside the averages.
            size = sum(bool(tensor.shape) for tensor in averages)
            containers = len(averages[0].root)
            matching = _matching(partners, root, size)
            proven = (pairs for before, pairs in matching if self._is_average(root, before, containers, pairs))
            if accepted := tuple(chain.from_iterable(proven)):
                yield AverageSet(tensors=averages, pairs=accepted)

    def _by_tail(
        self, tensors: Sequence[StoredTensor], wanted: Set[Tail]
    ) -> dict[Tail, list[tuple[KeyPath, StoredTensor]]]:
        """Return the tensors by those ends of their paths that are wanted, each with the path before it."""
        lengths = {len(tail) for tail, _ in wanted}
        found: dict[Tail, list[tuple[KeyPath, StoredTensor]]] = defaultdict(list)
        for tensor in tensors if wanted else ():
            path = self._paths[tensor.name]
            length = sum(map(len, path))
            for start in range(min(len(tensor.root) + 2, len(path))):
                if length in lengths and (tail := ("".join(path[start:]), tensor.shape)) in wanted:
                    found[tail].append((path[:start], tensor))
                length -= len(path[start])
        return found

    def _marker(self, tensor: StoredTensor, networks: re.Pattern[str]) -> KeyPath:
        """Return the container or module of the set of averages that a tensor may belong to, empty if there is none."""
        path, containers = self._paths[tensor.name], len(tensor.root)
        named = [i + 1 for i, part in enumerate(path[:containers]) if _AVERAGE.search(part)]
        if len(path) > containers and _AVERAGE.search(path[containers]) and networks.match(_base(path[containers])):
            named.append(containers + 1)
        ends = (end for end in self._counted_lengths if end < min(containers + 3, len(path)))
        counted = [end for end in ends if path[:end] in self._counted]
        last = max(named + counted, default=None)
        end = 0 if last is None else max(last, containers)
        return path[:end] if end < len(path) else ()

    def _counted_sets(self) -> frozenset[KeyPath]:
        """Return the containers and modules that hold the counters of an average."""
        held: dict[KeyPath, set[str]] = defaultdict(set)
        known = frozenset().union(*_COUNTERS)
        for tensor in self._tensors:
            path = self._paths[tensor.name]
            if path and path[-1] in known and sum(size > 1 for size in tensor.shape) == 0:
                held[path[:-1]].add(path[-1])
        return frozenset(path for path, names in held.items() if any(counters <= names for counters in _COUNTERS))

    def _is_average(self, root: KeyPath, before: KeyPath, containers: int, pairs: Sequence[Pair]) -> bool:
        """Return whether a trainer stored a set as the average of what lies below `before`.

        Args:
            root: Container or module of the set.
            before: Container or module of its raw counterpart.
            containers: Number of containers above the set's names.
            pairs: The averages with their counterparts.
        """
        if any(root[:end] in self._counted for end in range(len(root) + 1)):
            return True
        base, trained = _base(root[-1]), bool(_TRAINED_AVERAGE.search(root[-1]))
        words = [part for part in root[:containers] if _AVERAGE.search(part)]
        if any(_TRAINED_AVERAGE.search(word) or _NETWORK.match(_base(word)) for word in words):
            return True
        if len(root) <= containers:
            return False
        if before[-1:] == (base,) and _NETWORK.match(base):
            return True
        # A module that mirrors all there is beside it.
        mirrored = {raw.name for average, raw in pairs if raw.shape and raw.root == average.root}
        solid = {average.name for average, _ in pairs if average.shape}
        return trained and len(mirrored) >= MATCHED * (self._solid[pairs[0][0].root] - len(solid))


def _base(name: str) -> str:
    """Return a name without the word for an average."""
    return _AVERAGE.sub("", name).strip("_")


def _matching(partners: Mapping[KeyPath, list[Pair]], root: KeyPath, size: int) -> list[tuple[KeyPath, list[Pair]]]:
    """Return the containers that hold a raw counterpart for nearly all of the `size` averages of a set."""
    needed = max(1, MATCHED * size)
    complete = [(p, pairs) for p, pairs in partners.items() if sum(bool(one.shape) for one, _ in pairs) >= needed]
    namesake = [(p, pairs) for p, pairs in complete if p and p[-1] == _base(root[-1])]
    return namesake or complete


def key_path(tensor: StoredTensor) -> KeyPath:
    """Return the components of a name: containers, then the parts of the key, without wrappers."""
    parts = (part for part in tensor.key.split(".") if part != "module" and part not in WRAPPER_PARTS)
    return (*tensor.root, *parts)
