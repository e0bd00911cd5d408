"""Check before the upload and between commit and tag that a version loads as a reader would load it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from filtercrawl.api.errors import DatasetError, NetworkError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl_publish.publishing.commit_check import COUNTS, CommitSnapshot, check_files
from filtercrawl_publish.publishing.load_sample import ConfigFiles, LoadSample, restrict_header
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.repository.base import Repository, RepositoryFile
from filtercrawl_publish.repository.digests import file_info

__all__ = ["LoadCheckJob", "PublishedBefore", "verify_loads", "verify_staged"]

_WORKER_MODULE: Final = "filtercrawl_publish.publishing.load_check_worker"


@dataclass(frozen=True, kw_only=True)
class PublishedBefore:
    """What need not be loaded again: it was in a version that loaded when it got its tag.

    Attributes:
        files: What the repository states about the files of that version; none before the first one.
        version: The name of the version that is checked; which known files are loaded all the same depends on it.
        folder: The dataset folder that the version was made from; None where there is none.
    """

    files: Mapping[str, RepositoryFile] = field(default_factory=dict)
    version: str = ""
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class LoadCheckJob:
    """The task of the worker process, sent as JSON.

    Attributes:
        folder: A folder with the card, and with those files of the version that are loaded.
        configs: The configs and their files there.
        counts: `models`, `layers` and `kernels` that the manifest states.
        repository: The default config is loaded from there, too: arguments `path` and `revision` of
            `datasets.load_dataset`; None if the folder proves the same.
    """

    folder: str
    configs: list[ConfigFiles]
    counts: Mapping[str, int]
    repository: tuple[str, str] | None = None


def verify_staged(staged: StagedVersion, before: PublishedBefore) -> None:
    """Check that a dataset folder loads, before any of it is uploaded.

    Loads what is new and a sample of the rest with `datasets`, and compares the rows of `models` and `index` with the
    counts of the manifest. Files without a local copy are not loaded.

    Args:
        staged: The folder; its files agree with its file list.
        before: What was loaded before.

    Raises:
        DatasetError: It does not load.
        NetworkError: The worker process ended without an answer.
    """
    where = str(staged.folder)
    absent = staged.absent
    files = tuple(file for path, file in staged.files.items() if path not in absent)
    _check_counts(staged)
    header = card.Card.parse((staged.folder / card.PATH).read_bytes().decode()).header
    known = {
        path
        for path, file in staged.files.items()
        if (stored := before.files.get(path)) is not None and (stored.size, stored.sha256) == (file.size, file.sha256)
    }
    sample = LoadSample(files=files, known=known, seed=before.version)
    configs = sample.configs(header, staged.files.values(), where)
    with temporary_folder() as temporary:
        folder = temporary / "dataset"
        _link(staged.folder, folder, configs)
        _write_card(folder, (staged.folder / card.PATH).read_bytes(), configs)
        _load(where, LoadCheckJob(folder=str(folder), configs=configs, counts=staged.counts), temporary)


def verify_loads(repository: Repository, commit: str, before: PublishedBefore | None = None) -> None:
    """Check a commit using nothing but the repository.

    Compares sizes and digests of all files as the repository states them with the file list, and its root hash with
    the manifest. Then a worker process with empty caches loads every config with `datasets`, streaming and not, and
    compares the numbers of rows. By default all files are loaded, of configs above 256 MB some. With `before` these are
    the new ones, at most 32 of each config, and 8 others: what these versions have in common is guaranteed by its
    digests.

    Args:
        repository: Where the commit is.
        commit: Full id.
        before: What was loaded before; None to load everything.

    Raises:
        DatasetError: The commit is inconsistent or does not load.
        NetworkError: It could not be loaded at all.
    """
    snapshot = CommitSnapshot.read(repository, commit)
    check_files(snapshot, before.folder if before is not None else None)
    listed = (*snapshot.listed.values(), *snapshot.list_files, *snapshot.unlisted)
    known = None
    if before is not None:
        known = {path for path, file in snapshot.files.items() if before.files.get(path) == file}
    sample = LoadSample(files=listed, known=known, seed=before.version if before is not None else "")
    configs = sample.configs(card.Card.parse(snapshot.card.decode()).header, listed, snapshot.where)
    path, revision = repository.load_location(commit)
    with temporary_folder() as temporary:
        folder = temporary / "dataset"
        if revision is None:
            _link(Path(path), folder, configs)
        else:
            repository.fetch(_paths(configs), commit, folder)
        folder.mkdir(exist_ok=True)
        _write_card(folder, snapshot.card, configs)
        job = LoadCheckJob(
            folder=str(folder),
            configs=configs,
            counts={name: int(snapshot.manifest["counts"][name]) for name in COUNTS},
            repository=None if revision is None else (path, revision),
        )
        _load(snapshot.where, job, temporary)


def _paths(configs: Iterable[ConfigFiles]) -> list[str]:
    return sorted({file.path for config in configs for file in config.files})


def _link(source: Path, folder: Path, configs: Iterable[ConfigFiles]) -> None:
    """Put links to the chosen files into a folder, once their digests are as they are listed."""
    files: dict[str, File] = {file.path: file for config in configs for file in config.files}
    for path, file in files.items():
        if file_info(source, path) != file:
            raise DatasetError(f"{source}: {path} differs from its listed size or SHA-256")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to((source / path).absolute())


def _write_card(folder: Path, content: bytes, configs: Iterable[ConfigFiles]) -> None:
    """Write the card; files that it lists one by one and that were not chosen are left out."""
    found = card.Card.parse(content.decode())
    chosen = {(config.name, config.split): {file.path for file in config.files} for config in configs}
    header = restrict_header(found.header, chosen)
    if header != found.header:
        content = f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n{found.body}".encode()
    (folder / card.PATH).write_bytes(content)


def _check_counts(staged: StagedVersion) -> None:
    """Compare the rows of `models` and `index`, which are always local, with the counts of the manifest."""
    dataset = DatasetFolder(staged.folder)
    index = dataset.table("index", ["row_group", "n_kernels"])
    stored = index.filter(index["row_group"].is_valid())
    counts = {
        "models": sum(pq.read_metadata(path).num_rows for path in dataset.table_paths("models")),
        "layers": stored.num_rows,
        "kernels": pc.sum(stored["n_kernels"]).as_py() or 0,
    }
    for name, number in counts.items():
        if number != staged.counts[name]:
            raise DatasetError(
                f"{staged.folder}: the tables have {number} {name}, the manifest states {staged.counts[name]}; "
                "run `filtercrawl sync` to write them again"
            )


def _load(where: str, job: LoadCheckJob, temporary: Path) -> None:
    """Run the worker process.

    Raises:
        DatasetError: It found problems.
        NetworkError: It ended without an answer.
    """
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")
    }
    environment["USE_TORCH"] = "0"  # `datasets` would spend a second on importing it, and needs no tensor here
    # Empty caches: only what is read now proves anything, and nothing is left behind.
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE", "HF_ASSETS_CACHE"):
        environment[name] = str(temporary / name)
    stderr = temporary / "stderr"
    with (
        stderr.open("w") as errors,
        suppress(BrokenPipeError),  # closing stdin writes what a process that has ended did not read
        subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", _WORKER_MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            start_new_session=True,  # a signal to the group of this process stops the run, and not its check
        ) as worker,
    ):
        assert worker.stdin is not None
        assert worker.stdout is not None
        with suppress(BrokenPipeError):
            worker.stdin.write(json.dumps(asdict(job)) + "\n")
            worker.stdin.flush()  # stdin stays open: when this process is killed, it closes and the worker exits
        answer = worker.stdout.readline()
    last = stderr.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["no answer"]
    try:
        problems = [str(problem) for problem in json.loads(answer)]
    except ValueError:
        raise NetworkError(f"{where}: could not be loaded: {last[0]}") from None
    if problems:
        raise DatasetError(f"{where}: does not load correctly: {'; '.join(problems[:3])}")
