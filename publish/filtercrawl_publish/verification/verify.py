"""Verify a dataset folder or a published version using nothing but its files; the catalog is never read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.display import html_table
from filtercrawl_publish.publishing.load_check import verify_loads
from filtercrawl_publish.repository.base import Repository
from filtercrawl_publish.repository.open import open_to_read
from filtercrawl_publish.repository.signature import SIGNATURE, signature_error
from filtercrawl_publish.verification.effective import check_effective
from filtercrawl_publish.verification.files import check_card, check_files, check_manifest
from filtercrawl_publish.verification.issues import CheckedFolder, Issue
from filtercrawl_publish.verification.sketches import check_sketches
from filtercrawl_publish.verification.tables import check_checkpoints, check_index, check_ledger, check_models
from filtercrawl_publish.verification.weights import check_weights

__all__ = ["VerifyOptions", "VerifyReport", "verify_dataset", "verify_folder", "verify_repository"]

_LAYERS = "data/layers/"


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What to verify.

    Attributes:
        weights: For a repository on the Hub, download and read every layers file, one at a time; otherwise the digests
            that the Hub states are compared. In a folder all weights are always read.
        public_key: File with the Ed25519 key that must have signed the manifest; None skips the signature.
        load: Load every config with `datasets` in a new process, if nothing else is wrong.
    """

    weights: bool = False
    public_key: Path | None = None
    load: bool = True


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """Result of verifying a dataset.

    Attributes:
        dataset: Its name, as given.
        issues: Everything that is wrong.
    """

    dataset: str
    issues: tuple[Issue, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.issues

    def to_dict(self) -> dict[str, Any]:
        """Return what `filtercrawl verify --json` prints."""
        findings = [{"where": issue.where, "what": issue.what} for issue in self.issues]
        return {"dataset": self.dataset, "sound": self.sound, "findings": findings}

    def __str__(self) -> str:
        return "\n".join(map(str, self.issues)) or f"{self.dataset}: sound"

    def _repr_html_(self) -> str:
        title = f"{self.dataset}: {'sound' if self.sound else f'{len(self.issues)} issues'}"
        return html_table(title, {str(number): issue for number, issue in enumerate(self.issues, 1)})


def verify_dataset(name: str, options: VerifyOptions, transport: Transport) -> Iterator[Issue]:
    """Verify a folder or a version in a repository.

    Args:
        name: A folder, `org/name` or `org/name@version`.
        options: What to verify.
        transport: For requests to the Hub.

    Yields:
        Everything that is wrong. If nothing is, the dataset is loaded last.

    Raises:
        DatasetError: There is no dataset here.
        UsageError: There is no such version.
        NetworkError: The Hub could not be reached.
    """
    repository = open_to_read(name, transport)
    folder = _local_folder(name, repository)
    with temporary_folder() as scratch:
        sound = True
        for issue in verify_folder(folder) if folder else verify_repository(repository, options, scratch):
            sound = False
            yield issue
        if options.public_key is not None and (problem := signature_error(folder or scratch, options.public_key)):
            yield Issue(where=SIGNATURE, what=problem)
    if options.load and sound:
        try:
            verify_loads(repository, repository.resolve())
        except DatasetError as error:
            yield Issue(where=name, what=str(error))


def verify_folder(path: Path) -> Iterator[Issue]:
    """Verify a dataset folder; reads every file once or twice.

    Yields:
        Everything that is wrong.

    Raises:
        DatasetError: There is no dataset.
    """
    DatasetFolder(path).require()
    folder, issues = check_files(path)
    yield from issues
    yield from _check_content(folder)


def verify_repository(repository: Repository, options: VerifyOptions, folder: Path) -> Iterator[Issue]:
    """Verify a version in a repository.

    Args:
        repository: Opened at the version.
        options: With `weights`, each layers file is downloaded, read and deleted.
        folder: Empty; receives all other files.

    Yields:
        Everything that is wrong.

    Raises:
        DatasetError: The version is not a dataset.
        NetworkError: The Hub could not be reached.
    """
    commit = repository.resolve()
    files = repository.files(commit)
    if manifest.PATH not in files:
        raise DatasetError(f"{repository.id}: holds no filtercrawl dataset, it has no {manifest.PATH}")
    repository.fetch([path for path in files if not path.startswith((_LAYERS, "."))], commit, folder)
    dataset, issues = check_files(folder, files)
    yield from issues
    if options.weights:

        def fetch_file(path: str) -> None:
            repository.fetch([path], commit, folder)

        faulty = {issue.where for issue in issues}
        layers = {file.path for file in dataset.files if file.path.startswith(_LAYERS) and file.path not in faulty}
        dataset = replace(dataset, fetch_file=fetch_file, verified_files=dataset.verified_files | layers)
    yield from _check_content(dataset)


def _check_content(folder: CheckedFolder) -> Iterator[Issue]:
    for check in (check_manifest, check_card, check_weights):
        yield from check(folder)
    for check, tables in (
        (check_models, ("models", "index")),
        (check_checkpoints, ("models",)),
        (check_index, ("index", "models")),
        (check_ledger, ("ledger", "models", "index")),
        (check_sketches, ("sketches", "index")),
        (check_effective, ("effective", "index")),
    ):
        if folder.is_complete(*tables):
            yield from check(folder)


def _local_folder(name: str, repository: Repository) -> Path | None:
    """Return the folder of a local dataset; None for one on the Hub."""
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    path = name.rpartition("@")[0]
    if path and Path(path).expanduser().is_dir():
        return Path(repository.load_location(repository.resolve())[0])
    return None
