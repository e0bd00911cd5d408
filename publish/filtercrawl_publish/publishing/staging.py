"""Stage a version: export the catalog, name the version as the first release of new models, list all files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.api.range_file import relative_path
from filtercrawl.dataset.card import card
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.dataset_folder import DatasetFolder, no_dataset
from filtercrawl.dataset.files.parquet import File
from filtercrawl.dataset.files.table_files import files_of
from filtercrawl.dataset.files.unpublished import CATALOG
from filtercrawl_publish.repository.digests import file_info, file_sha256
from filtercrawl_publish.repository.signature import SIGNATURE

__all__ = [
    "UNLISTED_FILES", "StagedVersion", "clear_pending", "has_catalog", "list_files", "pending_version", "stage_version",
]  # fmt: skip

# The catalog's key for the version that a run is about to publish.
_PENDING: Final = "releasing"
# Outcomes of models that a version contains; a failed one gets its first release once it can be read.
_RELEASED: Final = frozenset({"emitted", "duplicate", "no_kernels"})
# Files that are published if present, although `files` cannot or need not list them; nor does it list its own files.
UNLISTED_FILES: Final = (card.PATH, manifest.PATH, SIGNATURE, *sorted(manifest.ABOUT_RUNS))


@dataclass(frozen=True, kw_only=True)
class StagedVersion:
    """A dataset folder that is published as it is.

    Attributes:
        folder: The dataset folder.
        files: Size and SHA-256 by path. A layers file may have no local copy; then the repository must have it.
        counts: `models`, `layers` and `kernels`, from the manifest.
        root: Root hash of the manifest.
    """

    folder: Path
    files: dict[str, File]
    counts: dict[str, int]
    root: str

    @cached_property
    def absent(self) -> frozenset[str]:
        """Files without a local copy."""
        return frozenset(path for path in self.files if not (self.folder / path).is_file())

    @property
    def layers(self) -> list[str]:
        """Paths of the layers files."""
        return [path for path in self.files if path.startswith("data/layers/")]


def has_catalog(dataset: Path) -> bool:
    """Return whether the folder has a catalog; a downloaded dataset has none."""
    return (dataset / CATALOG).is_file()


def pending_version(dataset: Path) -> str | None:
    """Return the version that an earlier run started to publish and did not complete."""
    if not has_catalog(dataset):
        return None
    with Catalog(dataset) as catalog:
        return catalog.get_meta(_PENDING) or None


def stage_version(dataset: Path, version: str) -> StagedVersion:
    """Set the first release of new models to `version`, write the tables, and list all files.

    The dataset must be locked. A folder without a catalog is taken as it is.

    Raises:
        DatasetError: The files differ from the file list.
    """
    if has_catalog(dataset):
        with Catalog(dataset) as catalog:
            _set_first_release(catalog, version)
            export_if_needed(dataset, catalog)
    return list_files(dataset)


def clear_pending(dataset: Path) -> None:
    """Record that no version is being published: it has its tag, or there was nothing to publish."""
    if has_catalog(dataset):
        with Catalog(dataset) as catalog:
            catalog.set_meta(_PENDING, "")


def list_files(dataset: Path) -> StagedVersion:
    """Return a dataset folder as its file list and manifest describe it.

    Compares the sizes of all files, and the digests of all but the layers, which are verified when they are uploaded.

    Raises:
        DatasetError: A file differs from the list, or this is no dataset.
    """
    content = _read_manifest(dataset)
    files = {file.path: file for file in DatasetFolder(dataset).files()}
    for path in files:
        relative_path(path)
    for file in files.values():
        _verify(dataset, file)
    lists = [path.relative_to(dataset).as_posix() for path in files_of(dataset, "files")]
    names = [*lists, *(name for name in UNLISTED_FILES if (dataset / name).is_file())]
    unlisted = {name: file_info(dataset, name) for name in names}
    root = manifest.root_of([unlisted[name] for name in lists], unlisted[card.PATH], files.values())
    if root != content.get("root"):
        raise DatasetError(
            f"{dataset}: {manifest.PATH} does not match the listed files; run `filtercrawl sync` to write it again"
        )
    counts = {str(name): int(number) for name, number in content["counts"].items()}
    return StagedVersion(folder=dataset, files=dict(sorted((files | unlisted).items())), counts=counts, root=root)


def _set_first_release(catalog: Catalog, version: str) -> None:
    """Set `first_release` of new models, including those that an interrupted run gave another version."""
    pending = catalog.get_meta(_PENDING) or None
    unpublished = {None, pending} - {version}
    rows = [row for release in unpublished for row in catalog.models_first_in(release) if row.outcome in _RELEASED]
    if rows:
        with catalog.transaction():
            for row in rows:
                catalog.update_model(replace(row, first_release=version))
            catalog.set_meta(_PENDING, version)
    elif pending != version:
        catalog.set_meta(_PENDING, version)


def _read_manifest(dataset: Path) -> Mapping[str, Any]:
    if not all((dataset / name).is_file() for name in (card.PATH, manifest.PATH)):
        raise no_dataset(dataset)
    content = DatasetFolder(dataset).manifest()
    if not isinstance(content.get("counts"), dict):
        raise DatasetError(f"{dataset / manifest.PATH}: not a manifest; run `filtercrawl sync` to write it again")
    return content


def _verify(dataset: Path, file: File) -> None:
    is_layers_file = file.path.startswith("data/layers/")
    try:
        size = (dataset / file.path).stat().st_size
        same = size == file.size and (is_layers_file or file_sha256(dataset / file.path) == file.sha256)
    except FileNotFoundError:
        same = is_layers_file
    if not same:
        raise DatasetError(
            f"{file.path}: differs from {manifest.TABLE}; delete it and run `filtercrawl sync`, then "
            f"`filtercrawl verify {dataset}`"
        )
