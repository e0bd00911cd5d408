"""What the Hub and its viewer bear, looked at before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from filtercrawl.api.errors import DatasetError, PolicyError
from filtercrawl.dataset.card import card
from filtercrawl_publish.publishing.staging import StagedVersion
from filtercrawl_publish.publishing.upload import FileChanges

__all__ = ["LIMITS", "Limits", "check_hub_limits", "is_large"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """As the Hub documented them in August 2026; numbers of files and bytes.

    regular: what a commit may hold that is no large file, all in one request. row_group: uncompressed, what the
    viewer reads at once. max_small_files: files of one config above which a full load takes one request a file too
    many.
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
# By name, as the Hub sorts files of a dataset; all else goes with the commit itself.
_LARGE: Final = (".parquet", ".png", ".gz", ".zip", ".npz", ".h5")
_LARGE_BYTES: Final = 10 * 1024 * 1024


def check_hub_limits(
    staged: StagedVersion, changes: FileChanges, others: int = 0, limits: Limits = LIMITS
) -> list[str]:
    """Return warnings; raises RefusedError, which names all, where the Hub would refuse or show nothing.

    others: files in the repo that are not ours.
    """
    problems = list(_hard_limit_errors(staged, changes, others, limits))
    if problems:
        raise PolicyError(f"this version cannot be published: {'; '.join(problems)}")
    return list(_soft_limit_warnings(staged, limits))


def _hard_limit_errors(staged: StagedVersion, changes: FileChanges, others: int, limits: Limits) -> Iterator[str]:
    number = len(staged.files) + others
    if number > limits.repo_files:
        yield f"{number:,} files, and a repo holds {limits.repo_files:,}"
    for folder, entries in sorted(_entries(staged).items()):
        if entries > limits.folder_entries:
            yield f"{entries:,} entries in {folder or 'the top folder'}, and a folder holds {limits.folder_entries:,}"
    if len(changes.add) > limits.commit_files:
        yield f"{len(changes.add):,} new files, and a commit takes {limits.commit_files:,}"
    regular = sum(file.size for path, file in changes.add.items() if not is_large(path, file.size))
    if regular > limits.regular:
        yield f"{regular:,} bytes outside the large files, and a commit takes {limits.regular:,}"
    for path, file in changes.add.items():
        most = limits.card if path == card.PATH else limits.file
        if file.size > most:
            yield f"{path} has {file.size:,} bytes, and may have {most:,}"
        if path.endswith(".parquet"):
            yield from _table(staged, path, limits)


def _table(staged: StagedVersion, path: str, limits: Limits) -> Iterator[str]:
    try:
        with pq.ParquetFile(staged.folder / path) as file:
            about = file.metadata
            groups = [about.row_group(i) for i in range(about.num_row_groups)]
    except FileNotFoundError:
        return  # sent ahead by an earlier run, which looked at it
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: is no Parquet file ({str(error).splitlines()[0]})") from error
    if not about.num_rows:
        yield f"{path} has no rows, which `datasets` cannot read"
    largest = max((group.total_byte_size for group in groups if group.num_rows > 1), default=0)
    if largest > limits.row_group:
        yield f"{path} has a row group of {largest:,} bytes, and the viewer reads {limits.row_group:,}"


def _soft_limit_warnings(staged: StagedVersion, limits: Limits) -> Iterator[str]:
    by_source = Counter(path.split("/")[2] for path in staged.layers)
    configs = {"layers": by_source.total()} | {f"layers-{source}": count for source, count in by_source.items()}
    for name, count in configs.items():
        if count > limits.max_small_files:
            yield (
                f"the config {name} has {count:,} files, and a full load is a request a file: choose by `index` and "
                "read with `filtercrawl.load` instead"
            )


def _entries(staged: StagedVersion) -> Counter[str]:
    """Count what lies in each folder, folders included."""
    found: dict[str, set[str]] = {}
    for path in staged.files:
        here = PurePosixPath(path)
        for above in here.parents:
            found.setdefault(str(above), set()).add(here.name)
            here = above
    return Counter({"" if name == "." else name: len(entries) for name, entries in found.items()})


def is_large(path: str, size: int) -> bool:
    """Tell whether the Hub takes a file by LFS or Xet; all else goes with the commit, whole and in base64."""
    return path.endswith(_LARGE) or size > _LARGE_BYTES
