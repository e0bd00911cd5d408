"""Files in which trainers note how far training was, beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

from filtercrawl.api.errors import CheckpointError
from filtercrawl_plugins.formats.json_text import parse_json
from filtercrawl_plugins.sources.local.side_files import read_side_file

TRAINER_STATE: Final = "trainer_state.json"
RESULTS: Final = "result.json"
_STEPS: Final = range(2**63)


@dataclass(frozen=True, kw_only=True)
class TrainerState:
    """What the `trainer_state.json` of transformers states.

    Attributes:
        step: `global_step`.
        epoch: Epochs, with a fraction; a whole number is an integer.
        tracks_best: Whether the trainer looks for the best checkpoint. Weights that it saved at the end of training may
            then be those of an earlier step.
    """

    step: int
    epoch: int | float | None = None
    tracks_best: bool = False


def read_trainer_state(path: Path, root: Path) -> TrainerState | None:
    """Return what a `trainer_state.json` states; None if it cannot be read or states no step.

    Args:
        path: The file.
        root: The folder that is listed.
    """
    state = _parse(_read(path, root))
    if not isinstance(state, dict) or not _is_step(state.get("global_step")):
        return None
    epoch = state.get("epoch")
    if not isinstance(epoch, int | float) or isinstance(epoch, bool) or not 0 <= epoch < float("inf"):
        epoch = None
    elif float(epoch).is_integer():
        epoch = int(epoch)
    return TrainerState(
        step=state["global_step"], epoch=epoch, tracks_best=state.get("best_model_checkpoint") is not None
    )


def read_iterations(path: Path, root: Path) -> dict[str, int]:
    """Return the training iteration of each checkpoint folder in the `result.json` of a trial of Ray.

    Args:
        path: A file with one JSON object a line; lines that are none are left out.
        root: The folder that is listed.
    """
    found: dict[str, int] = {}
    for line in _read(path, root).splitlines():
        result = _parse(line)
        if not isinstance(result, dict):
            continue
        folder, iteration = result.get("checkpoint_dir_name"), result.get("training_iteration")
        if isinstance(folder, str) and _is_step(iteration):
            found[folder] = iteration
    return found


def _read(path: Path, root: Path) -> str:
    """Return the text of a file; nothing if it cannot be read."""
    try:
        return read_side_file(path, root).decode(errors="replace")
    except CheckpointError:
        return ""


def _parse(text: str) -> Any:
    """Return what a text of JSON states; None if it is none, or has too many values."""
    try:
        return parse_json(text.encode(), "notes of a trainer")
    except CheckpointError:
        return None


def _is_step(value: object) -> TypeGuard[int]:
    return type(value) is int and value in _STEPS
