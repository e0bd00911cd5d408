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
    """A file of a checkpoint, local or remote.

    Attributes:
        url: Its URL; `file:` for local files.
        size: Size in bytes.
        sha256: SHA-256 in lower-case hex.
        etag: Changes whenever the bytes may have changed.
        path: POSIX path relative to the checkpoint's other files, by which an index or an ONNX graph names it.
    """

    url: str
    size: int | None = None
    sha256: str | None = None
    etag: str | None = None
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The training run that produced a checkpoint.

    Attributes:
        id: The same for all checkpoints of a run; None where only the step or the seed is known.
        step: Training step of this checkpoint.
        seed: Random seed of the run.
        final: Whether it is the last checkpoint of the run; analyses use final checkpoints.
    """

    id: str | None
    step: int | None = None
    seed: int | None = None
    final: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """How far training was when a file was saved, as the file states it; None where it does not.

    Attributes:
        step: Steps of the optimizer, `global_step` of most trainers, below 2**63.
        epoch: Epochs, below 2**63.
    """

    step: int | None = None
    epoch: int | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointMetadata:
    """What a source knows about a checkpoint.

    Attributes:
        task: Task in the vocabulary of the Hugging Face Hub.
        training_datasets: Training data sets, in the order of training.
        visual_category: What the images of the last training data set show.
        architecture: Name of the network.
        family: Family of architectures.
        tag: Name of the training recipe.
        library: Library that the checkpoint is for.
        license: SPDX expression.
        license_evidence: Where the license was found.
        paper: URL or identifier of the paper.
        released: ISO 8601 date.
        metrics: Accuracy as stated, with its evidence; JSON.
        extra: Further facts of the source; JSON.
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
    """What the images of a training data set show, in the vocabulary of CNN Filter DB: `natural`, `medical ct`.

    Attributes:
        dataset: Name of the data set.
        category: Visual category.
    """

    dataset: str
    category: str

    @property
    def name(self) -> str:
        """Name of the data set, by which plugins must not collide."""
        return self.dataset


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One set of trained weights that a source offers.

    Attributes:
        name: Unique and stable within its source; `source/name` is the permanent model_id.
        revision: Changes exactly when the bytes change. None if the source cannot tell without reading: the SHA-256 of
            the file is then the revision, and its etag says when to check again.
        files: The files, the main one first.
        prefix: Subtree of the file that is the model, for example `state_dict.teacher.`; empty for all of it.
        aliases: Other names.
        meta: What the source knows about it.
        run: The training run it belongs to.
        arch: `SOURCE/NAME` of its architecture, where another source builds it: `timm/resnet18`.
        named: The selector names this very file. It is then recorded as failed if no reader can read it; a file of a
            folder without an extension of weight files is ignored.
    """

    name: str
    revision: str | None = None
    files: tuple[RemoteFile, ...]
    prefix: str = ""
    aliases: tuple[str, ...] = ()
    meta: CheckpointMetadata = field(default_factory=CheckpointMetadata)
    run: TrainingRun | None = None
    arch: str | None = None
    named: bool = False


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A checkpoint that exists and is not offered; it has neither failed nor been removed.

    Attributes:
        name: Its name.
        reason: Why it is not offered.
        revision: The revision at which the reason was found, so that the source need not check again until it changes.
        restricted: Whether the reason is access: it is gated, private or disabled. `name` may also be that of a
            repository, which begins the names of its checkpoints. The setting `restricted` decides about what the
            dataset holds of it.
    """

    name: str
    reason: str
    revision: str | None = None
    restricted: bool = False


@dataclass(frozen=True, kw_only=True)
class PreviousState:
    """What the dataset knows of a checkpoint that the source offered or skipped before.

    Attributes:
        revision: Revision that the source stated.
        etag: Etag that the source stated.
        outcome: What became of it.
        reason: Why it failed or was skipped.
        meta: What the source knew about it; `meta.extra` holds what it needs to offer the same again without a request.
        run: The training run it belongs to, its step also where only the file states it, and `final` where the source
            stated it; None where nothing is known.
    """

    revision: str | None = None
    etag: str | None = None
    outcome: str = "emitted"
    reason: str | None = None
    meta: CheckpointMetadata = field(default_factory=CheckpointMetadata)
    run: TrainingRun | None = None


# What a source lists.
Offer = Checkpoint | Skipped


def combined_etag(checkpoint: Checkpoint) -> str | None:
    """Return one etag for all files of a checkpoint; None if one of them has none."""
    tags = [file.etag for file in checkpoint.files]
    if len(tags) == 1 or None in tags:
        return tags[0] if len(tags) == 1 else None
    return hashlib.sha256("\n".join(map(str, tags)).encode()).hexdigest()


def folder(checkpoint: Checkpoint) -> PurePosixPath:
    """Return the folder of the main file, which paths of companions are relative to."""
    return PurePosixPath(checkpoint.files[0].path or checkpoint.name).parent


def is_local(file: RemoteFile) -> bool:
    """Tell whether a file is on this machine."""
    return file.url.startswith("file:")


def local_path(file: RemoteFile) -> Path:
    """Return the path of a `file:` URL."""
    return Path(local_name(file))


def local_name(file: RemoteFile) -> str:
    """Return the path of a `file:` URL as text, in a fraction of the time."""
    url = file.url
    is_plain = url.startswith("file:///") and "?" not in url and "#" not in url
    return unquote(url[len("file://") :] if is_plain else urlsplit(url).path)
