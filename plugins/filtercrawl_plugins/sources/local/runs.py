"""Training runs, by the names that trainers give the checkpoints of a run and the files that they write beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.checkpoint import TrainingRun
from filtercrawl_plugins.sources.local.lightning import LightningFolders, LightningName
from filtercrawl_plugins.sources.local.trainer_files import (
    RESULTS,
    TRAINER_STATE,
    TrainerState,
    read_iterations,
    read_trainer_state,
)

# Folders of transformers, accelerate and the examples of diffusers: `checkpoint-500`.
_STEP_FOLDER: Final = re.compile(r"checkpoint-(?P<step>[0-9]{1,18})")
# Files of timm and of trainers that follow it, numbered by epoch: `checkpoint-12.pth.tar`.
_EPOCH_FILE: Final = re.compile(r"checkpoint-(?P<step>[0-9]{1,18})\.pth(\.tar)?")
# Folders of Ray beside the `result.json` of their trial: `checkpoint_000003`.
_RAY_FOLDER: Final = re.compile(r"checkpoint_[0-9]{6}")
# What transformers saves at the end of training, beside the `trainer_state.json` of the whole run.
_END_OF_TRAINING: Final = re.compile(r"(model|pytorch_model)\.(safetensors|bin)(\.index\.json)?")
# What trainers save beside the weights.
_NO_WEIGHTS: Final = re.compile(
    r"(optimizer|scheduler|scaler|rng_state|random_states|training_args)(_[0-9]+)?\.\w+"
    r"|.*(?<!\.index)\.json|.*\.(jsonl|txt|md|ya?ml|csv|log|model)"
)


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """The run of a file.

    Attributes:
        run: The run; whether the file is the last of it is left open.
        notes: What else is stated, for `extra`: the epoch, and a step that contradicts the name.
    """

    run: TrainingRun
    notes: Mapping[str, Any] = field(default_factory=dict)


class RunLookup:
    """Finds the run and the step of the files of a folder.

    A run is the folder with its steps. It has no id where that folder is not listed, or may hold several runs.

    Args:
        root: The folder that is listed.
        label: Prefix of the names of its checkpoints, with a trailing slash; empty if there is none.
        names: POSIX paths below the root of all its files; None if only one file is listed.
    """

    def __init__(self, root: Path, label: str, names: Iterable[str] | None) -> None:
        self._root = root
        self._label = label.rstrip("/")
        self._alone = names is None
        self._lightning = LightningFolders(names or ())
        self._iterations = lru_cache(maxsize=None)(lambda folder: read_iterations(root / folder / RESULTS, root))
        self._state = lru_cache(maxsize=None)(lambda folder: read_trainer_state(root / folder / TRAINER_STATE, root))

    def run_of(self, name: str) -> FoundRun | None:
        """Return the run of a file; None if neither its path nor a file beside it states one.

        Args:
            name: POSIX path of the file below the root.
        """
        folder, _, file = name.rpartition("/")
        if _NO_WEIGHTS.fullmatch(file):
            return None
        lightning = LightningName.parse(file)
        if lightning is not None:
            prefix = self._lightning.prefix_of_run(folder, lightning)
            run_id = None if prefix is None else self._id(folder, prefix)
            return FoundRun(run=TrainingRun(id=run_id, step=lightning.step))
        if (match := _EPOCH_FILE.fullmatch(file)) is not None:
            return FoundRun(run=TrainingRun(id=self._id(folder), step=int(match["step"])))
        return self._by_folder(folder) or self._at_end_of_training(folder, file)

    def _by_folder(self, path: str) -> FoundRun | None:
        """Return the run that the innermost folder of a step states."""
        parts = path.split("/") if path else []
        for index in range(len(parts) - 1, -1, -1):
            folder, below = "/".join(parts[:index]), "/".join(parts[: index + 1])
            if (match := _STEP_FOLDER.fullmatch(parts[index])) is not None:
                return _in_step_folder(self._id(folder), int(match["step"]), self._state(below))
            if _RAY_FOLDER.fullmatch(parts[index]) and (self._root / folder / RESULTS).is_file():
                return FoundRun(run=TrainingRun(id=self._id(folder), step=self._iterations(folder).get(parts[index])))
        if (match := _STEP_FOLDER.fullmatch(self._root.name)) is not None:
            return _in_step_folder(None, int(match["step"]), self._state(""))
        return None

    def _at_end_of_training(self, folder: str, file: str) -> FoundRun | None:
        if not _END_OF_TRAINING.fullmatch(file) or (state := self._state(folder)) is None or state.tracks_best:
            return None
        return FoundRun(run=TrainingRun(id=self._id(folder), step=state.step), notes=_notes(state))

    def _id(self, folder: str, prefix: str = "") -> str | None:
        """Return the id of the run in a folder.

        The name of the root is no part of it: ids are published, and that name may be a user's.
        """
        return None if self._alone else "/".join(part for part in (self._label, folder, prefix) if part) or "."


def _in_step_folder(run_id: str | None, step: int, state: TrainerState | None) -> FoundRun:
    notes = {} if state is None else _notes(state)
    if state is not None and state.step != step:
        notes["step_in_file"] = state.step
    return FoundRun(run=TrainingRun(id=run_id, step=step), notes=notes)


def _notes(state: TrainerState) -> dict[str, Any]:
    return {} if state.epoch is None else {"epoch": state.epoch}
