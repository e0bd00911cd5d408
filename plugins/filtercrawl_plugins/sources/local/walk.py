"""Walk a folder of strangers' files: sorted, never out of it, never in circles, whatever the names."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Version control, caches of other programs, and the state of this one: never checkpoints of their own.
LEFT_OUT = frozenset({".git", ".cache", ".filtercrawl"})

_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|U[0-9a-f]{8})")


@dataclass(frozen=True, kw_only=True)
class FoundFile:
    """A regular file. name: POSIX path below the folder; status: of the file that a link leads to."""

    name: str
    path: Path
    status: os.stat_result


@dataclass(frozen=True, kw_only=True)
class SkippedPath:
    """A file or folder that was seen and not entered. name: as in `Found`, made printable."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder on the way. real: its resolved path; linked: whether a link was followed to get there."""

    path: Path
    name: str
    real: Path
    linked: bool


@dataclass(frozen=True, kw_only=True)
class FolderEntry:
    """A name in a folder with what it leads to, looked up once. real: where a link ends, else None."""

    folder: Folder
    path: Path
    status: os.stat_result
    real: Path | None

    @property
    def name(self) -> str:
        return f"{self.folder.name}{self.path.name}"

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


def walk(root: Path) -> Iterator[FoundFile | SkippedPath]:
    """Yield every regular file below `root`, a resolved path, in the order of their names.

    A link is followed where it ends inside `root`: to a file always, to a folder unless it leads up to one
    that it lies in, or another folder link was followed before it. What such links hide is listed under its
    real path, so nothing is lost, and links that point at each other cannot multiply.
    """
    stack = [_entries(Folder(path=root, name="", real=root, linked=False), root)]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
        elif isinstance(item, Folder):
            stack.append(_entries(item, root))
        else:
            yield item


def _entries(folder: Folder, root: Path) -> Iterator[FoundFile | SkippedPath | Folder]:
    try:
        paths = list(folder.path.iterdir())
    except OSError as error:
        yield SkippedPath(name=folder.name.rstrip("/"), reason=f"cannot be listed: {os_error_reason(error)}")
        return
    if folder.name and _is_dataset(paths):
        return
    looked_up = [pair for path in paths if (pair := _look_up(path, folder, root))]
    # A folder counts with its slash, so that names come out sorted as whole strings.
    for _, entry in sorted(looked_up, key=lambda pair: pair[0]):
        if isinstance(entry, SkippedPath):
            yield entry
        elif not entry.is_folder:
            yield from _file(entry)
        elif entry.path.name not in LEFT_OUT and _may_enter(entry):
            real, linked = (
                entry.real or folder.real / entry.path.name,
                folder.linked or entry.real is not None,
            )
            yield Folder(path=entry.path, name=f"{entry.name}/", real=real, linked=linked)


def _look_up(path: Path, folder: Folder, root: Path) -> tuple[str, FolderEntry | SkippedPath] | None:
    """Return an entry with its place in the order; None for what has vanished in the meantime."""
    name = f"{folder.name}{path.name}"
    if not is_safe_name(path.name):
        return name, SkippedPath(name=escape_name(name), reason="the name is not printable UTF-8")
    try:
        real = path.resolve() if path.is_symlink() else None
        if real is not None and not real.is_relative_to(root):
            return name, SkippedPath(name=name, reason="symlink leaves the folder")
        status = path.stat()
    except FileNotFoundError:
        return (name, SkippedPath(name=name, reason="symlink leads nowhere")) if path.is_symlink() else None
    except (OSError, RuntimeError) as error:
        return name, SkippedPath(name=name, reason=f"cannot be opened: {os_error_reason(error)}")
    entry = FolderEntry(folder=folder, path=path, status=status, real=real)
    return (f"{name}/" if entry.is_folder else name), entry


def _file(entry: FolderEntry) -> Iterator[FoundFile | SkippedPath]:
    if not stat.S_ISREG(entry.status.st_mode):
        return
    if os.access(entry.path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        yield FoundFile(name=entry.name, path=entry.path, status=entry.status)
    else:
        yield SkippedPath(name=entry.name, reason="cannot be opened: Permission denied")


def _may_enter(entry: FolderEntry) -> bool:
    if entry.real is None:
        return True
    return not entry.folder.linked and not entry.folder.real.is_relative_to(entry.real)


def _is_dataset(paths: list[Path]) -> bool:
    names = {path.name: path for path in paths}
    if ".filtercrawl" in names:
        return True
    return "manifest.json" in names and "data" in names and (names["data"] / "layers").is_dir()


def is_safe_name(name: str) -> bool:
    """Tell whether a name is printable text: all UTF-8, all visible, nothing like an escape."""
    return name.isprintable() and not _ESCAPE.search(name)


def escape_name(name: str) -> str:
    r"""Write a name that `is_safe_name` refuses so that it can be shown: `\xff` for a byte that is not UTF-8.

    Two names never come out the same, nor as a name that is plain.
    """
    return "".join(_escape(char) for char in name)


def _escape(char: str) -> str:
    code = ord(char)
    if char.isprintable() and char != "\\":
        return char
    # Python holds a byte that is not UTF-8 as a surrogate.
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\U{code:08x}"


def os_error_reason(error: OSError | RuntimeError) -> str:
    """Say why the system refused, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or "symlinks that lead to each other"
