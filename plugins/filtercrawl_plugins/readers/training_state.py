"""How far training was, as trainers pickle it beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl_plugins.formats.pickle.objects import PickledDict, to_name

# Keys at the top of a checkpoint, or in its dictionary `meta`: Lightning and others save `global_step`, detectron2
# `iteration`, mmengine and mmcv `meta.iter`, DeepSpeed `global_steps`.
_STEP_KEYS: Final = frozenset({"global_step", "global_steps", "iteration", "iter", "step"})
_EPOCH_KEYS: Final = frozenset({"epoch"})
_NESTED: Final = "meta"
_MAX: Final = 2**63 - 1


def training_state(value: object) -> TrainingState | None:
    """Return the training state in the unpickled object of a checkpoint.

    Several keys that contradict each other state nothing, nor do negative numbers: ultralytics marks a file without
    optimizer by epoch -1.

    Returns:
        None where the object states neither a step nor an epoch.
    """
    if not isinstance(value, PickledDict):
        return None
    found = [*_numbers(value)]
    state = TrainingState(step=_only(found, _STEP_KEYS), epoch=_only(found, _EPOCH_KEYS))
    return None if state == TrainingState() else state


def _numbers(top: PickledDict) -> Iterator[tuple[str, int]]:
    for key, value in top.pairs:
        name = to_name(key)
        if name == _NESTED and isinstance(value, PickledDict):
            yield from ((str(to_name(inner)), number) for inner, number in value.pairs if type(number) is int)
        elif name is not None and type(value) is int:
            yield name, value


def _only(found: Iterable[tuple[str, int]], keys: frozenset[str]) -> int | None:
    values = {number for name, number in found if name in keys}
    number = values.pop() if len(values) == 1 else -1
    return number if 0 <= number <= _MAX else None
