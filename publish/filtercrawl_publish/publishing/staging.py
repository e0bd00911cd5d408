"""What is about to be published: the dataset folder as its catalog has it, listed and known to be whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.card import card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.layout import HIDDEN
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = ["BESIDE", "StagedVersion", "clear_pending", "has_catalog", "list_files", "pending_version", "stage_version"]

# The catalog's word for the version that a run was about to publish.
_PENDING: Final = "releasing"
# Outcomes of checkpoints that a version brings; a failed one is released when it can be read.
_RELEASED: Final = frozenset({"emitted", "duplicate", "no_kernels"})
# Published beside the listed files, where they are there.
BESIDE: Final = (card.PATH, manifest.PATH, manifest.TABLE, SIGNATURE, "analysis/run.json")


@dataclass(frozen=True, kw_only=True)
class StagedVersion:
    """A dataset folder that is published as it lies there. files: path -> size and sha256 as listed.

    A file of layers may be absent: then the place it goes to must have it already.
    """

    folder: Path
    files: dict[str, File]
    counts: dict[str, int]
    root: str

    @property
    def absent(self) -> frozenset[str]:
        return frozenset(path for path in self.files if not (self.folder / path).is_file())

    @property
    def layers(self) -> list[str]:
        return [path for path in self.files if path.startswith("data/layers/")]


def has_catalog(folder: Path) -> bool:
    """Tell whether a folder is worked in; one that was only fetched has its files and no more."""
    return (folder / HIDDEN / "catalog.sqlite").is_file()


def pending_version(folder: Path) -> str | None:
    """Return the version that a run before this one was about to publish and did not see tagged."""
    if not has_catalog(folder):
        return None
    with Catalog(folder) as catalog:
        return catalog.get_meta(_PENDING) or None


def stage_version(folder: Path, version: str) -> StagedVersion:
    """Write the tables as the catalog has them, with `version` as the first release of what is new, and list all.

    The dataset must be locked. A folder without a catalog is taken as it is. Raises DatasetError where files and
    list do not agree.
    """
    if has_catalog(folder):
        with Catalog(folder) as catalog:
            _sign(catalog, version)
            export_if_needed(folder, catalog)
    return list_files(folder)


def clear_pending(folder: Path) -> None:
    """Forget that a version was under way: it is tagged, or there was nothing to publish."""
    if has_catalog(folder):
        with Catalog(folder) as catalog:
            catalog.set_meta(_PENDING, "")


def list_files(folder: Path) -> StagedVersion:
    """Return a dataset folder as its own list and manifest describe it.

    Sizes are compared for all files, hashes for all but those of layers. Raises DatasetError for the first that
    differs, and where no dataset is.
    """
    stated = _manifest(folder)
    files = {file.path: file for file in DatasetFolder(folder).files()}
    for path in files:
        relative_path(path)
    for file in files.values():
        _check(folder, file)
    beside = {name: _described(folder, name) for name in BESIDE if (folder / name).is_file()}
    root = manifest.root_hash([*files.values(), beside[card.PATH]])
    if root != stated.get("root"):
        raise DatasetError(
            f"{folder}: {manifest.PATH} is of other files than those listed; run `filtercrawl sync` to write it again"
        )
    counts = {str(name): int(number) for name, number in stated["counts"].items()}
    return StagedVersion(folder=folder, files=dict(sorted((files | beside).items())), counts=counts, root=root)


def _sign(catalog: Catalog, version: str) -> None:
    """Give what is new its first release; what an unfinished run called by another version is new still."""
    before = catalog.get_meta(_PENDING) or None
    open_ = (None, before) if before != version else (None,)
    rows = [row for row in catalog.models() if _unreleased(row, open_)]
    if rows:
        with catalog.transaction():
            for row in rows:
                catalog.update_model(replace(row, first_release=version))
            catalog.set_meta(_PENDING, version)
    elif before != version:
        catalog.set_meta(_PENDING, version)


def _unreleased(row: ModelRow, open_: tuple[str | None, ...]) -> bool:
    return row.outcome in _RELEASED and row.first_release in open_


def _manifest(folder: Path) -> Mapping[str, Any]:
    if not all((folder / name).is_file() for name in (card.PATH, manifest.PATH)):
        raise DatasetError(f"{folder}: no dataset here; `filtercrawl sync SELECTOR --dataset {folder}` makes one")
    stated = DatasetFolder(folder).manifest()
    if not isinstance(stated.get("counts"), dict):
        raise DatasetError(f"{folder / manifest.PATH}: is no manifest; run `filtercrawl sync` to write it again")
    return stated


def _check(folder: Path, file: File) -> None:
    immutable = file.path.startswith("data/layers/")
    try:
        size = (folder / file.path).stat().st_size
        same = size == file.size and (immutable or _sha256(folder / file.path) == file.sha256)
    except FileNotFoundError:
        same = immutable
    if not same:
        raise DatasetError(
            f"{file.path}: is not what {manifest.TABLE} lists; run `filtercrawl sync` and look at `verify`"
        )


def _described(folder: Path, path: str) -> File:
    return File(path=path, size=(folder / path).stat().st_size, sha256=_sha256(folder / path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
