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
| `shadow`, `backup` of EMA helpers | `shadow` | `backup`: kept while the average is in use | equal names and shapes |
| `torch_ema`, diffusers `EMAModel`, score SDE | list `shadow_params` | any, `collected_params` | shapes in order |
| timm, BasicSR, ultralytics and many more | container `NAME_ema`, `ema` | container `NAME` | equal names and shapes |
| DINO, DINOv2, iBOT | `teacher` | `student` | `center` of a loss, equal names and shapes |
| modules that trainers add | `model_ema.`, `avg_model.` | `model.` | whole network, equal names and shapes |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.averages import MATCHED, Averages, AverageSet, KeyPath, Pair, key_path

# Containers of a trainer's arguments, which may hold the network itself.
_ARGUMENTS: Final = ("hyper_parameters", "datamodule_hyper_parameters", "hparams")
# Key of a list of averages without names.
_SHADOW: Final = "shadow_params"
# Keys of averages, and of the raw weights that a trainer keeps beside them while the averages are in the network.
_BACKUPS: Final = (("shadow", "backup"), (_SHADOW, "collected_params"))


@dataclass(frozen=True, kw_only=True)
class WeightSets:
    """Which tensors of a checkpoint are outside the set that is the model.

    Attributes:
        excluded: Reason and rule of each tensor that is a raw copy or an argument, by name.
        raw_of: The raw tensor of each average, by the name of the average; its key is a module path where the trainer
            dropped the dots.
    """

    excluded: Mapping[str, tuple[str, str]]
    raw_of: Mapping[str, StoredTensor]


def find_weight_sets(tensors: Sequence[StoredTensor]) -> WeightSets:
    """Find the set of weights that is the model among raw weights, averages and arguments.

    Args:
        tensors: The tensors of a checkpoint that are no state of an optimizer.
    """
    excluded = dict.fromkeys(_arguments(tensors), ("outside_prefix", "hyper_parameters"))
    excluded.update(dict.fromkeys(_swapped(tensors), ("raw_copy", "trainer_swap")))
    excluded.update(dict.fromkeys((*_students(tensors), *_backups(tensors)), ("raw_copy", "trainer_average")))
    tensors = [tensor for tensor in tensors if tensor.name not in excluded]
    raw_of: dict[str, StoredTensor] = {}
    sets = Averages(tensors).sets()
    shadows = list(_shadow_pairs(tensors))
    copied = {raw.root for _, raw in shadows}
    excluded.update((t.name, ("raw_copy", "trainer_average")) for t in tensors if t.root in copied)
    excluded.update(dict.fromkeys(_other_averages(sets), ("raw_copy", "other_average")))
    for average, raw in (*chain.from_iterable(one.pairs for one in sets), *shadows):
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
    """Yield the raw weights of trainers that keep the average under the plain names.

    A network may be compiled or distributed in one of the two sets only, so names are compared without wrappers.
    """
    top: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    for tensor in tensors:
        if len(tensor.root) == 1:
            top[tensor.root[0]][tensor.key] = tensor
    plain = top.get("state_dict", {})
    lightning = top.get("current_model_state", {})
    if _same(_unwrapped(lightning), _unwrapped(plain)):
        yield from (tensor.name for tensor in lightning.values())
    mmengine = top.get("ema_state_dict", {})
    wrapped = {key: tensor for key, tensor in mmengine.items() if key.startswith("module.")}
    if "steps" in mmengine and _same(_unwrapped(wrapped), _unwrapped(plain)):
        yield from (tensor.name for key, tensor in mmengine.items() if key != "steps")
    for state in (plain, {tensor.key: tensor for tensor in tensors if not tensor.root}):
        buffers = {key: tensor for key, tensor in state.items() if key.startswith("ema_") and "." not in key}
        dotless = {f"ema_{key.replace('.', '_')}": tensor for key, tensor in state.items() if key not in buffers}
        if _same(buffers, dotless):
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
        if centers and part == "student" and _same(students, sets.get((before, "teacher"), {})):
            yield from (tensor.name for tensor in students.values())


def _backups(tensors: Sequence[StoredTensor]) -> Iterator[str]:
    """Yield the raw weights that a trainer keeps beside their average, to put them back after an evaluation."""
    states: dict[KeyPath, dict[str, StoredTensor]] = defaultdict(dict)
    for tensor in tensors:
        states[tensor.root][tensor.key] = tensor
    for root, copies in states.items():
        for average, backup in _BACKUPS:
            if root[-1:] == (backup,) and _same(copies, states.get((*root[:-1], average), {})):
                yield from (tensor.name for tensor in copies.values())


def _other_averages(sets: Sequence[AverageSet]) -> Iterator[str]:
    """Yield the averages of weights of which another average is the model.

    Trainers keep averages over several spans, or one in another precision. A checkpoint is one model: the most complete
    average, and of equal ones the first.
    """
    averaged: set[str] = set()
    for one in sorted(sets, key=lambda one: -len(one.pairs)):
        raw = {raw.name for _, raw in one.pairs}
        if len({average.name for average, _ in one.pairs}) < len(raw):
            continue  # several raw sets have these names: it is open which one each average belongs to
        if raw <= averaged:
            yield from (tensor.name for tensor in one.tensors)
        averaged |= raw


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


def _same(copies: Mapping[str, StoredTensor], plain: Mapping[str, StoredTensor]) -> bool:
    """Return whether nearly all of a set have a tensor of the same name and shape."""
    solid = {key: tensor.shape for key, tensor in copies.items() if tensor.shape}
    same = [key for key, shape in solid.items() if key in plain and plain[key].shape == shape]
    return bool(same) and len(same) >= MATCHED * len(solid)


def _unwrapped(state: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Return the tensors of a state dict by their names without wrappers."""
    return {".".join(key_path(tensor)[len(tensor.root) :]): tensor for tensor in state.values()}
