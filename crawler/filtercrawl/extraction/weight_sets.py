"""Which set of weights in a file is the model: averages (EMA, SWA) and raw copies, by what trainers store.

A name with `ema` or `avg` in it proves nothing: modules are called so. Evidence is what a trainer writes.

| trainer | average | raw weights | evidence |
|---|---|---|---|
| mmengine `EMAHook` | `state_dict` | `ema_state_dict`: the hook swaps before it saves | `steps`, `module.` |
| mmcv 1 `EMAHook` | plain names | buffers `ema_NAME`, dots as `_` | all names have their plain one |
| Lightning `WeightAveraging` | `state_dict` | `current_model_state` | equal names and shapes |
| torch `AveragedModel` | `module.` | any | `n_averaged` |
| latent diffusion `LitEma` | `model_ema.`, no dots | `model.` | `decay`, `num_updates` |
| `ema_pytorch` | `ema_model.` | `online_model.`, or a container | `initted`, `step` |
| `torch_ema`, diffusers `EMAModel`, score SDE | list `shadow_params` | any | shapes in order |
| timm, BasicSR, ultralytics and many more | container `NAME_ema`, `ema` | container `NAME` | equal names and shapes |
| DINO, DINOv2, iBOT | `teacher` | `student` | `center` of a loss, equal names and shapes |
| modules that trainers add | `model_ema.`, `avg_model.` | `model.` | whole network, equal names and shapes |
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.state_dict_names import WRAPPER_PARTS

_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|avg|averaged?)(?=_|$)", re.IGNORECASE)
# The words that only mean averages of weights; `avg` may be a pooling.
_TRAINED_AVERAGE: Final = re.compile(r"(?:^|_)(?:ema|swa|averaged)(?=_|$)", re.IGNORECASE)
# Names of a whole network, as opposed to a branch of it.
_NETWORK: Final = re.compile(
    r"^(model|model_state|net|network|nn|module|unet|dit|transformer|diffusion|diffusion_model|denoiser|score_model"
    r"|generator|gen|g|netg|g_net|params|state_dict|model_state_dict|weights|policy|actor)$",
    re.IGNORECASE,
)
_ANY: Final = re.compile("")
# Counters that averages of weights are stored with, all of which must be there.
_COUNTERS: Final = (frozenset({"n_averaged"}), frozenset({"decay", "num_updates"}), frozenset({"initted", "step"}))
# Containers of a trainer's arguments, which may hold the network itself.
_ARGUMENTS: Final = ("hyper_parameters", "datamodule_hyper_parameters", "hparams")
# Key of a list of averages without names.
_SHADOW: Final = "shadow_params"
# A set of averages is accepted if at least this share of it has a raw counterpart.
_MATCHED: Final = 0.9

KeyPath = tuple[str, ...]
Pair = tuple[StoredTensor, StoredTensor]


@dataclass(frozen=True, kw_only=True)
class WeightSets:
    """Which tensors of a checkpoint are outside the set that is the model.

    Attributes:
        excluded: Reason and rule of each tensor that is a raw copy or an argument, by name.
        raw_of: The raw tensor of each average, by the name of the average; its key is a module path where the trainer
            dropped the dots.
    """

    excluded: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    raw_of: Mapping[str, StoredTensor] = field(default_factory=dict)


def find_weight_sets(tensors: Sequence[StoredTensor]) -> WeightSets:
    """Find the set of weights that is the model among raw weights, averages and arguments.

    Args:
        tensors: The tensors of a checkpoint that are no state of an optimizer.
    """
    excluded = dict.fromkeys(_arguments(tensors), ("outside_prefix", "hyper_parameters"))
    excluded.update(dict.fromkeys(_swapped(tensors), ("raw_copy", "trainer_swap")))
    excluded.update(dict.fromkeys(_students(tensors), ("raw_copy", "trainer_average")))
    tensors = [tensor for tensor in tensors if tensor.name not in excluded]
    averages = Averages(tensors)
    raw_of: dict[str, StoredTensor] = {}
    shadows = list(_shadow_pairs(tensors))
    copied = {raw.root for _, raw in shadows}
    excluded.update((t.name, ("raw_copy", "trainer_average")) for t in tensors if t.root in copied)
    for average, raw in (*averages.pairs(), *shadows):
        excluded[raw.name] = ("raw_copy", "trainer_average")
        raw_of.setdefault(average.name, raw)
    return WeightSets(excluded=excluded, raw_of=raw_of)


def _arguments(tensors: Sequence[StoredTensor]) -> Iterator[str]:
    """Yield the tensors among the arguments of a trainer, if the file has its weights too."""
    if any(tensor.root[:1] == ("state_dict",) and tensor.shape for tensor in tensors):
        yield from (tensor.name for tensor in tensors if _top(tensor) in _ARGUMENTS)


def _top(tensor: StoredTensor) -> str:
    return tensor.root[0] if tensor.root else tensor.key.split(".", 1)[0]


def _swapped(tensors: Sequence[StoredTensor]) -> Iterator[str]:
    """Yield the raw weights of trainers that keep the average under the plain names."""
    top: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for tensor in tensors:
        if len(tensor.root) == 1:
            top[tensor.root[0]][tensor.key] = tensor
    plain = top.get("state_dict", {})
    lightning = top.get("current_model_state", {})
    if _same(lightning, plain, ""):
        yield from (tensor.name for tensor in lightning.values())
    mmengine = top.get("ema_state_dict", {})
    if "steps" in mmengine and _same(mmengine, plain, "module."):
        yield from (tensor.name for key, tensor in mmengine.items() if key != "steps")
    for state in (plain, {tensor.key: tensor for tensor in tensors if not tensor.root}):
        buffers = {key: tensor for key, tensor in state.items() if key.startswith("ema_") and "." not in key}
        dotless = {f"ema_{key.replace('.', '_')}": tensor for key, tensor in state.items() if key not in buffers}
        if _same(buffers, dotless, ""):
            yield from (tensor.name for tensor in buffers.values())


def _students(tensors: Sequence[StoredTensor]) -> Iterator[str]:
    """Yield the weights of networks that are distilled into by their own average, the teacher.

    A teacher may be another network, or another training of the same one: only these losses keep the center of the
    outputs of an average.
    """
    sets: dict[tuple[KeyPath, str], dict[str, StoredTensor]] = defaultdict(dict)
    centers = 0
    for tensor in tensors:
        path = key_path(tensor)
        centers += len(path) > 1 and path[-2].endswith("_loss") and path[-1] == "center"
        for end, part in enumerate(path[: len(tensor.root) + 1]):
            if part in ("student", "teacher"):
                sets[path[:end], part][".".join(path[end + 1 :])] = tensor
    for (before, part), students in sets.items():
        if centers and part == "student" and _same(students, sets.get((before, "teacher"), {}), ""):
            yield from (tensor.name for tensor in students.values())


def _shadow_pairs(tensors: Sequence[StoredTensor]) -> Iterator[Pair]:
    """Yield the averages of weights in a list of parameters, with their raw tensors.

    The list has no names: it belongs to the one container whose weights have the same shapes in the same order.
    """
    by_root: dict[KeyPath, list[StoredTensor]] = defaultdict(list)
    for tensor in tensors:
        by_root[tensor.root].append(tensor)
    lists = [root for root in by_root if root[-1:] == (_SHADOW,)]
    if len(lists) != 1:
        return
    shadows = by_root.pop(lists[0])
    weights = [tensor for tensor in shadows if len(tensor.shape) > 1]
    shapes = [tensor.shape for tensor in weights]
    alike = [held for held in by_root.values() if [t.shape for t in held if len(t.shape) > 1] == shapes]
    if shapes and len(alike) == 1:
        raw = [tensor for tensor in alike[0] if len(tensor.shape) > 1]
        yield from zip(weights, raw, strict=True)


def _same(copies: Mapping[str, StoredTensor], plain: Mapping[str, StoredTensor], prefix: str) -> bool:
    """Return whether nearly all of a set have a tensor of the same name without a prefix, and of the same shape."""
    solid = {key: tensor for key, tensor in copies.items() if tensor.shape}
    names = [key for key, tensor in solid.items() if key.startswith(prefix) and _has(plain, key[len(prefix) :], tensor)]
    return bool(names) and len(names) >= _MATCHED * len(solid)


def _has(plain: Mapping[str, StoredTensor], key: str, tensor: StoredTensor) -> bool:
    return key in plain and plain[key].shape == tensor.shape


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

    def pairs(self) -> list[Pair]:
        """Return each average with its raw tensor.

        Modules of other names than a network's are averages only where a file has no other ones.
        """
        return list(self._pairs(_NETWORK)) or list(self._pairs(_ANY))

    def _pairs(self, networks: re.Pattern[str]) -> Iterator[Pair]:
        """Yield averages, with modules among them whose names without the word match `networks`."""
        marked = {tensor.name: self._marker(tensor, networks) for tensor in self._tensors}
        found = set(filter(None, marked.values()))
        # Only the innermost marked containers are sets of averages; what else an outer one holds is raw.
        lengths = {len(one) for one in found}
        outer = {one[:end] for one in found for end in lengths if end < len(one)}
        members: dict[KeyPath, list[StoredTensor]] = defaultdict(list)
        raw: dict[tuple[str, tuple[int, ...]], list[tuple[KeyPath, StoredTensor]]] = defaultdict(list)
        for tensor in self._tensors:
            if marked[tensor.name] and marked[tensor.name] not in outer:
                members[marked[tensor.name]].append(tensor)
                continue
            path = self._paths[tensor.name]
            for start in range(min(len(tensor.root) + 2, len(path))):
                raw["".join(path[start:]), tensor.shape].append((path[:start], tensor))
        for root, averages in members.items():
            partners: dict[KeyPath, list[Pair]] = defaultdict(list)
            for tensor in averages:
                tail = "".join(self._paths[tensor.name][len(root) :])
                for before, partner in raw.get((tail, tensor.shape), []):
                    partners[before].append((tensor, partner))
            # Scalars do not count: trainers store the decay and the number of updates beside the averages.
            size = sum(bool(tensor.shape) for tensor in averages)
            containers = len(averages[0].root)
            for before, pairs in _matching(partners, root, size):
                if self._is_average(root, before, containers, pairs):
                    yield from pairs

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
        return trained and len(mirrored) >= _MATCHED * (self._solid[pairs[0][0].root] - len(solid))


def _base(name: str) -> str:
    """Return a name without the word for an average."""
    return _AVERAGE.sub("", name).strip("_")


def _matching(partners: Mapping[KeyPath, list[Pair]], root: KeyPath, size: int) -> list[tuple[KeyPath, list[Pair]]]:
    """Return the containers that hold a raw counterpart for nearly all of the `size` averages of a set."""
    needed = max(1, _MATCHED * size)
    complete = [(p, pairs) for p, pairs in partners.items() if sum(bool(one.shape) for one, _ in pairs) >= needed]
    namesake = [(p, pairs) for p, pairs in complete if p and p[-1] == _base(root[-1])]
    return namesake or complete


def key_path(tensor: StoredTensor) -> KeyPath:
    """Return the components of a name: containers, then the parts of the key, without wrappers."""
    parts = (part for part in tensor.key.split(".") if part != "module" and part not in WRAPPER_PARTS)
    return (*tensor.root, *parts)
