"""Checkpoints, their files, and what is known about them. None and () mean unknown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file, by URL (`file:` for this machine).

    size in bytes; sha256 in lower-case hex; etag: changes when the bytes may have changed; path: relative POSIX path
    beside the checkpoint's other files, by which an index or an ONNX graph names it.
    """

    url: str
    size: int | None = None
    sha256: str | None = None
    etag: str | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The training run a checkpoint belongs to: analyses take final checkpoints."""

    id: str
    step: int | None = None
    seed: int | None = None
    final: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointMetadata:
    """What a source knows about a checkpoint.

    task: the Hub's vocabulary. training_datasets: in order of training. license: an SPDX expression;
    license_evidence: where it was read. released: ISO 8601 date. metrics: accuracy as stated, with its evidence.
    extra: the plugin's own axes, JSON.
    """

    task: str | None = None
    training_datasets: tuple[str, ...] = ()
    visual_category: str | None = None
    architecture: str | None = None
    family: str | None = None
    tag: str | None = None
    library: str | None = None
    license: str | None = None
    license_evidence: str | None = None
    paper: str | None = None
    released: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class VisualCategory:
    """What the pictures of a training data set show, in the words of CNN Filter DB: `natural`, `medical ct`."""

    dataset: str
    category: str

    @property
    def name(self) -> str:
        return self.dataset


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One set of trained weights that a source offers.

    name: unique and stable in its source; `source/name` is the model_id for ever. revision: changes exactly when the
    bytes change; None where the source cannot tell without reading (the file's sha256 is then the revision, and its
    etag says when to look). files: the main one first. prefix: the subtree that is the model (`state_dict.teacher.`).
    """

    name: str
    revision: str | None = None
    files: tuple[RemoteFile, ...]
    prefix: str = ""
    aliases: tuple[str, ...] = ()
    meta: CheckpointMetadata = field(default_factory=CheckpointMetadata)
    run: TrainingRun | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A checkpoint that was seen and is not offered, and why: neither failed nor gone.

    revision: at which the reason was found, so that the source need not look again until it changes.
    """

    name: str
    reason: str
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class PreviousState:
    """What the dataset knows of a name that the source offered or skipped before.

    revision, etag: as the source gave them. outcome, reason: what became of it. meta: what the source said of it;
    in `meta.extra` a source finds again what it needs to offer the same without asking.
    """

    revision: str | None = None
    etag: str | None = None
    outcome: str = "emitted"
    reason: str | None = None
    meta: CheckpointMetadata = field(default_factory=CheckpointMetadata)


Offer = Checkpoint | Skipped


def combined_etag(checkpoint: Checkpoint) -> str | None:
    """One etag for all files of a checkpoint, None where one of them has none."""
    tags = [file.etag for file in checkpoint.files]
    if len(tags) == 1 or None in tags:
        return tags[0] if len(tags) == 1 else None
    return hashlib.sha256("\n".join(map(str, tags)).encode()).hexdigest()


def folder(checkpoint: Checkpoint) -> PurePosixPath:
    """The folder of the main file, by which companions are named."""
    return PurePosixPath(checkpoint.files[0].path or checkpoint.name).parent


def _is_local(file: RemoteFile) -> bool:
    return file.url.startswith("file:")


def local_path(file: RemoteFile) -> Path:
    """Return where a `file:` URL points."""
    return Path(unquote(urlsplit(file.url).path))
