"""Training runs, by the names that trainers give the checkpoints of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint, Offer, TrainingRun

# Folders of transformers, accelerate and the examples of diffusers: `checkpoint-500`.
_STEP_FOLDER: Final = re.compile(r"checkpoint-(?P<step>[0-9]{1,18})")
# Files of timm and of trainers that follow it, numbered by epoch: `checkpoint-12.pth.tar`.
_EPOCH_FILE: Final = re.compile(r"checkpoint-(?P<step>[0-9]{1,18})\.pth(\.tar)?")
# Files and folders of Lightning: `epoch=3-step=400.ckpt`, `NAME-epoch=3-step=400-val_loss=0.2.ckpt`, and `-v1` behind
# it where the name was taken.
_LIGHTNING: Final = re.compile(
    r"((?P<prefix>[^=]+)-(?=epoch=))?(epoch=[0-9]+-)?step=(?P<step>[0-9]{1,18})(-.+=.+?)?(?P<version>-v[0-9]+)?\.ckpt"
)
# Folders of Ray beside the `result.json` of their trial: `checkpoint_000003`.
_RAY_FOLDER: Final = re.compile(r"checkpoint_[0-9]{6}")
_MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
# What trainers save beside the weights.
_NO_WEIGHTS: Final = re.compile(
    r"(optimizer|scheduler|scaler|rng_state|random_states|training_args)(_[0-9]+)?\.\w+"
    r"|.*(?<!\.index)\.json|.*\.(jsonl|txt|md|ya?ml|csv|log|model)"
)


class RunLookup:
    """Finds the run and the step of the files of a folder.

    Args:
        root: The folder that is listed.
        label: Prefix of the names of its checkpoints, with a trailing slash; empty if there is none.

    Attributes:
        ambiguous: Ids of runs that may be several: Lightning numbers a file `-v1` whose name was taken, as by another
            run in the same folder.
    """

    def __init__(self, root: Path, label: str) -> None:
        self.ambiguous: set[str] = set()
        self._root = root
        self._label = label.rstrip("/")
        self._results: dict[str, dict[str, int]] = {}

    def run_of(self, name: str, *, alone: bool = False) -> TrainingRun | None:
        """Return the run of a file, None if its path states none; whether it is final is left open.

        A run is the folder with its steps, and has no id where that folder is not listed.

        Args:
            name: POSIX path of the file below the root.
            alone: Whether only this file is listed.
        """
        file = name.rpartition("/")[2]
        if _NO_WEIGHTS.fullmatch(file):
            return None
        parts = (self._root.name, *name.split("/"))
        for index in range(len(parts) - 1, -1, -1):
            part, folder = parts[index], "/".join(parts[1:index])
            match = _LIGHTNING.fullmatch(part)
            prefix = match["prefix"] if match else None
            # The name of the root is no part of it: ids are published, and that name may be a user's.
            run_id = "/".join(name for name in (self._label, folder, prefix) if name) or "."
            if match and match["version"]:
                self.ambiguous.add(run_id)
            is_file = index == len(parts) - 1
            match = match or (_EPOCH_FILE if is_file else _STEP_FOLDER).fullmatch(part)
            if match or (index > 0 and not is_file and self._is_of_ray(folder, part)):
                step = int(match["step"]) if match else self._results[folder].get(part)
                return TrainingRun(id=run_id if index > 0 and not alone else None, step=step)
        return None

    def _is_of_ray(self, folder: str, part: str) -> bool:
        """Return whether a folder is a checkpoint of Ray; reads the results beside it."""
        path = self._root / folder / "result.json"
        if not _RAY_FOLDER.fullmatch(part) or not path.is_file():
            return False
        if folder not in self._results:
            self._results[folder] = read_iterations(path)
        return True


def read_iterations(path: Path) -> dict[str, int]:
    """Return the training iteration of each checkpoint folder in the `result.json` of a trial of Ray.

    Args:
        path: A file with one JSON object a line; lines that are none are left out.
    """
    found: dict[str, int] = {}
    try:
        if path.stat().st_size > _MAX_RESULT_BYTES:
            return {}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            result: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(result, dict):
            continue
        folder, iteration = result.get("checkpoint_dir_name"), result.get("training_iteration")
        if isinstance(folder, str) and type(iteration) is int and 0 <= iteration < 2**63:
            found[folder] = iteration
    return found


def without_ambiguous_ids(offers: Iterable[Offer], ambiguous: Set[str]) -> Iterator[Offer]:
    """Yield offers, their run without its id where that is one of `ambiguous`."""
    for offer in offers:
        if isinstance(offer, Checkpoint) and offer.run is not None and offer.run.id in ambiguous:
            yield replace(offer, run=replace(offer.run, id=None))
        else:
            yield offer
