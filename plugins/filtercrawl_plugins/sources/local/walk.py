"""Walk a folder of untrusted files: in sorted order, never outside the folder, never in a cycle of links."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from filtercrawl.api.hub_cache import is_cached_repository, latest_snapshot, may_link_to
from filtercrawl.api.untrusted_names import escape_name, is_safe_name
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Version control, caches of other programs, and the state of filtercrawl itself never contain checkpoints.
EXCLUDED_FOLDERS: Final = frozenset({".git", ".cache", ".filtercrawl"})


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file.

    Attributes:
        name: POSIX path relative to the root folder.
        path: Path to open it by.
        status: Status of the file itself, also where `path` is a symlink.
    """

    name: str
    path: Path
    status: os.stat_result


@dataclass(frozen=True, kw_only=True)
class SkippedPath:
    """A file or folder that cannot be read or must not be followed.

    Attributes:
        name: POSIX path relative to the root folder, escaped so that it is printable.
        reason: Why it is skipped.
    """

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder during the walk.

    Attributes:
        path: Path to list it by.
        name: POSIX path relative to the root folder, with a trailing slash; empty for the root.
        real: The path with all symlinks resolved.
        linked: Whether the walk followed a symlink to a folder to get here.
    """

    path: Path
    name: str
    real: Path
    linked: bool


@dataclass(frozen=True, kw_only=True)
class FolderEntry:
    """One entry of a folder, with its status.

    Attributes:
        folder: The folder that contains it.
        path: Path of the entry.
        status: Status of the target, symlinks followed.
        real: Resolved target of a symlink; None for anything else.
    """

    folder: Folder
    path: Path
    status: os.stat_result
    real: Path | None

    @property
    def name(self) -> str:
        """POSIX path relative to the root folder."""
        return f"{self.folder.name}{self.path.name}"

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, symlinks followed."""
        return stat.S_ISDIR(self.status.st_mode)


def walk(root: Path) -> Iterator[FoundFile | SkippedPath]:
    """Yield every regular file below a folder, sorted by name.

    A symlink to a file is followed if the target lies inside `root`. A symlink to a folder is followed under the same
    condition, unless it leads to one of its own parents or the walk has already followed a folder link. Whatever such a
    link would show is listed under its real path anyway, and links that point at each other cannot multiply.

    Folders in `EXCLUDED_FOLDERS` and datasets written by filtercrawl are left out. Of a repository in the cache of
    huggingface_hub only the latest snapshot is listed. Where `root` is a snapshot, its links to blobs are followed.

    Args:
        root: A resolved path.

    Yields:
        Files, and the paths that were skipped.
    """
    stack = [_list_entries(Folder(path=root, name="", real=root, linked=False), root)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Folder):
            stack.append(_list_entries(item, root))
        else:
            yield item


def _list_entries(folder: Folder, root: Path) -> Iterator[FoundFile | SkippedPath | Folder]:
    try:
        paths = list(folder.path.iterdir())
        is_own = bool(folder.name) and is_dataset(paths)
        is_cache = is_cached_repository(folder.real)
        snapshot = latest_snapshot(folder.real) if is_cache else None
    except OSError as error:
        yield SkippedPath(name=folder.name.rstrip("/"), reason=f"cannot be listed: {os_error_reason(error)}")
        return
    if is_own:
        return
    if is_cache:
        if snapshot is not None:
            name = f"{folder.name}snapshots/{snapshot.name}/"
            yield Folder(path=folder.path / "snapshots" / snapshot.name, name=name, real=snapshot, linked=folder.linked)
        return
    keyed_entries = [keyed for path in paths if (keyed := _inspect(path, folder, root))]
    # Folders sort with their trailing slash, so that the names of all files come out sorted as whole strings.
    for _, entry in sorted(keyed_entries, key=lambda keyed: keyed[0]):
        if isinstance(entry, SkippedPath):
            yield entry
        elif not entry.is_folder:
            yield from _check_file(entry)
        elif entry.path.name not in EXCLUDED_FOLDERS and _may_enter(entry):
            yield Folder(
                path=entry.path,
                name=f"{entry.name}/",
                real=entry.real or folder.real / entry.path.name,
                linked=folder.linked or entry.real is not None,
            )


def _inspect(path: Path, folder: Folder, root: Path) -> tuple[str, FolderEntry | SkippedPath] | None:
    """Return the sort key of a path and its entry; None if it has been deleted in the meantime."""
    name = f"{folder.name}{path.name}"
    if not is_safe_name(path.name):
        return name, SkippedPath(name=escape_name(name), reason="the name is not printable UTF-8")
    try:
        real = path.resolve() if path.is_symlink() else None
        if real is not None and not may_link_to(root, real):
            return name, SkippedPath(name=name, reason="symlink leaves the folder")
        status = path.stat()
    except FileNotFoundError:
        return (name, SkippedPath(name=name, reason="symlink leads nowhere")) if path.is_symlink() else None
    except (OSError, RuntimeError) as error:
        return name, SkippedPath(name=name, reason=f"cannot be opened: {os_error_reason(error)}")
    entry = FolderEntry(folder=folder, path=path, status=status, real=real)
    return (f"{name}/" if entry.is_folder else name), entry


def _check_file(entry: FolderEntry) -> Iterator[FoundFile | SkippedPath]:
    """Yield a regular file if it is readable, or by its name weights; nothing for sockets, pipes and devices."""
    if not stat.S_ISREG(entry.status.st_mode):
        return
    is_weights = entry.path.suffix.lower() in WEIGHT_EXTENSIONS  # which then fail, as whatever cannot be read
    if is_weights or os.access(entry.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        yield FoundFile(name=entry.name, path=entry.path, status=entry.status)
    else:
        yield SkippedPath(name=entry.name, reason="cannot be opened: Permission denied")


def _may_enter(entry: FolderEntry) -> bool:
    if entry.real is None:
        return True
    return not entry.folder.linked and not entry.folder.real.is_relative_to(entry.real)


def is_dataset(paths: list[Path]) -> bool:
    """Return whether a folder with these entries is a dataset that filtercrawl wrote."""
    by_name = {path.name: path for path in paths}
    if ".filtercrawl" in by_name:
        return True
    return "manifest.json" in by_name and "data" in by_name and (by_name["data"] / "layers").is_dir()


def os_error_reason(error: OSError | RuntimeError) -> str:
    """Return the reason of an operating system error without the path, which may not be printable."""
    return (error.strerror if isinstance(error, OSError) else None) or "symlinks that lead to each other"
