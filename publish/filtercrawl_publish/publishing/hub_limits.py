"""Check a version against the limits of the Hub and its dataset viewer, before anything is uploaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, PolicyError
from filtercrawl.dataset.card import card
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import FileChanges

__all__ = ["LIMITS", "Limits", "check_hub_limits", "count_folder_entries", "is_large"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the Hub as documented in August 2026.

    Attributes:
        repo_files: Files in a repository.
        folder_entries: Files and folders directly in one folder.
        commit_files: New files in one commit.
        file: Bytes of one file.
        regular: Bytes of all files of a commit that are not stored by LFS or Xet; they are sent in one request.
        card: Bytes of README.md.
        row_group: Uncompressed bytes of a row group that the viewer can read.
        max_small_files: Files of a config above which loading it needs too many requests; only a warning.
    """

    repo_files: int = 100_000
    folder_entries: int = 10_000
    commit_files: int = 25_000
    file: int = 200 * 10**9
    regular: int = 10**9
    card: int = 5 * 10**6
    row_group: int = 300 * 10**6
    max_small_files: int = 2_500


LIMITS: Final = Limits()
# Suffixes that the Hub's .gitattributes for datasets stores as large files; all others go with the commit.
_LARGE_SUFFIXES: Final = (".parquet", ".png", ".gz", ".zip", ".npz", ".h5")
_LARGE_BYTES: Final = 10 * 1024 * 1024


def check_hub_limits(
    staged: StagedVersion, changes: FileChanges, other_files: int = 0, limits: Limits = LIMITS
) -> list[str]:
    """Check a staged version.

    Args:
        staged: The version.
        changes: What of it is new in the repository.
        other_files: Number of files in the repository that do not belong to the dataset.
        limits: The limits to check.

    Returns:
        Warnings, one line each.

    Raises:
        PolicyError: The Hub would reject the version, or its viewer could not show it; names all reasons.
    """
    problems = list(_hard_limit_errors(staged, changes, other_files, limits))
    if problems:
        raise PolicyError(f"cannot publish this version: {'; '.join(problems)}")
    return list(_soft_limit_warnings(staged, limits))


def _hard_limit_errors(staged: StagedVersion, changes: FileChanges, other_files: int, limits: Limits) -> Iterator[str]:
    number = len(staged.files) + other_files
    if number > limits.repo_files:
        yield f"{number:,} files, a repository may have {limits.repo_files:,}"
    for folder, entries in sorted(count_folder_entries(staged.files).items()):
        if entries > limits.folder_entries:
            yield f"{entries:,} entries in {folder or 'the root folder'}, a folder may have {limits.folder_entries:,}"
    if len(changes.add) > limits.commit_files:
        yield f"{len(changes.add):,} new files, a commit may have {limits.commit_files:,}"
    regular = sum(file.size for path, file in changes.add.items() if not is_large(path, file.size))
    if regular > limits.regular:
        yield f"{regular:,} bytes in small files, a commit may have {limits.regular:,}"
    for path, file in changes.add.items():
        max_bytes = limits.card if path == card.PATH else limits.file
        if file.size > max_bytes:
            yield f"{path} has {file.size:,} bytes, it may have {max_bytes:,}"
        if path.endswith(".parquet"):
            yield from _parquet_errors(staged, path, limits)


def _parquet_errors(staged: StagedVersion, path: str, limits: Limits) -> Iterator[str]:
    try:
        with pq.ParquetFile(staged.folder / path) as file:
            metadata = file.metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    except FileNotFoundError:
        return  # uploaded and checked by an earlier run
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from error
    if not metadata.num_rows:
        yield f"{path} has no rows, which `datasets` cannot read"
    largest = max((group.total_byte_size for group in groups if group.num_rows > 1), default=0)
    if largest > limits.row_group:
        yield f"{path} has a row group of {largest:,} bytes, the viewer reads at most {limits.row_group:,}"


def _soft_limit_warnings(staged: StagedVersion, limits: Limits) -> Iterator[str]:
    by_source = Counter(path.split("/")[2] for path in staged.layers)
    configs = {"layers": by_source.total()} | {f"layers-{source}": count for source, count in by_source.items()}
    for name, count in configs.items():
        if count > limits.max_small_files:
            yield (
                f"the config {name} has {count:,} files, and loading it needs a request per file: select layers by "
                "`index` and read them with `filtercrawl.load` instead"
            )


def count_folder_entries(paths: Iterable[str]) -> Counter[str]:
    """Return the number of files and folders directly in each folder; the root is ""."""
    entries: dict[str, set[str]] = {}
    for path in paths:
        child = PurePosixPath(path)
        for parent in child.parents:
            entries.setdefault(str(parent), set()).add(child.name)
            child = parent
    return Counter({"" if folder == "." else folder: len(names) for folder, names in entries.items()})


def is_large(path: str, size: int) -> bool:
    """Return whether the Hub stores a file by LFS or Xet; other files are sent with the commit, base64-encoded."""
    return path.endswith(_LARGE_SUFFIXES) or size > _LARGE_BYTES
