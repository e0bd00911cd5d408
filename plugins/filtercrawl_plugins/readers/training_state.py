"""How far training was, as trainers save it beside the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from filtercrawl.api.checkpoint import TrainingState
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.pickle.objects import PickledDict

# Keys at the top of a checkpoint, or in one of its dictionaries: Lightning and others save `global_step`, detectron2
# `iteration`, mmengine and mmcv `meta.iter`, DeepSpeed `global_steps`, torchtitan `train_state.step`. In the metadata
# of safetensors, ai-toolkit writes `training_info` as JSON, and sd-scripts prefixes its keys.
_STEP_KEYS: Final = frozenset({"global_step", "global_steps", "iteration", "iter", "step", "ss_steps"})
_EPOCH_KEYS: Final = frozenset({"epoch", "ss_epoch"})
_NESTED: Final = frozenset({"meta", "train_state", "training_info"})
_MAX: Final = 2**63 - 1
_INTEGERS: Final = frozenset({"int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"})


def states_progress(path: Sequence[str]) -> bool:
    """Return whether a number would state the step or the epoch.

    Args:
        path: Keys from the top of the checkpoint to the number.
    """
    return len(path) in (1, 2) and path[-1] in _STEP_KEYS | _EPOCH_KEYS and (len(path) == 1 or path[0] in _NESTED)


def training_state(value: object) -> TrainingState | None:
    """Return the training state in the unpickled object of a checkpoint, None where it states none."""
    return stated_progress(_numbers(value)) if isinstance(value, PickledDict) else None


def stated_progress(numbers: Iterable[tuple[Sequence[str], object]]) -> TrainingState | None:
    """Return the training state that the numbers of a checkpoint state.

    Several keys that contradict each other state nothing, nor do negative numbers: ultralytics marks a file without
    optimizer by epoch -1.

    Args:
        numbers: Values, each with the keys from the top of the checkpoint; only integers state anything.

    Returns:
        None where they state neither a step nor an epoch.
    """
    found = [(path[-1], value) for path, value in numbers if type(value) is int and states_progress(path)]
    state = TrainingState(step=_only(found, _STEP_KEYS), epoch=_only(found, _EPOCH_KEYS))
    return None if state == TrainingState() else state


def stored_integer(tensor: StoredTensor) -> int | None:
    """Read a tensor without axes that is an integer; None for any other tensor."""
    if tensor.location is None or tensor.shape or tensor.dtype not in _INTEGERS:
        return None
    return int.from_bytes(tensor.location.read(()).tobytes(), "little", signed=not tensor.dtype.startswith("u"))


def _numbers(top: PickledDict) -> Iterator[tuple[Sequence[str], object]]:
    for name, value in top.items():
        if name in _NESTED and isinstance(value, PickledDict):
            yield from (((name, inner), number) for inner, number in value.items())
        else:
            yield (name,), value


def _only(found: Iterable[tuple[str, int]], keys: frozenset[str]) -> int | None:
    values = {number for name, number in found if name in keys}
    number = values.pop() if len(values) == 1 else -1
    return number if 0 <= number <= _MAX else None
