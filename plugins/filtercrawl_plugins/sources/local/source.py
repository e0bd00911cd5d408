"""The source `local`: checkpoints in a file or a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filtercrawl.api.checkpoint import Checkpoint, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import UnsafeFileError, UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import file_version, relative_path
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.local.walk import FoundFile, SkippedPath, os_error_reason, walk
from filtercrawl_plugins.sources.shared.untrusted_text import is_safe_name


@dataclass(frozen=True, kw_only=True)
class LocalPattern:
    """What a selector names: a path, and the label before its names, empty or ending with a slash."""

    path: Path
    label: str

    @classmethod
    def parse(cls, pattern: str | None, source: str = "local") -> LocalPattern:
        """Read `PATH` or `PATH as=LABEL`; source: who is asked, for the message. Raises UsageError."""
        text = (pattern or "").strip()
        path, marker, label = text.rpartition(" as=")
        if not marker:
            path, label = text, ""
        if not path.strip() or "\0" in path:
            raise UsageError(f"{source} needs a path: {source}:PATH")
        return cls(path=expand_home(path.strip(), source), label=f"{validate_label(label, source)}/" if marker else "")


class LocalSource:
    """Offers every regular file below a folder, one checkpoint each; readers decide which hold weights.

    `local:PATH` names a checkpoint by its POSIX path below PATH, `local:PATH as=LABEL` puts LABEL/ before it.
    Symlinks are followed where they stay in the folder; version control, caches and datasets are left out.
    """

    name = "local"
    needs_pattern = True

    def canonical(self, pattern: str) -> str:
        """Spell a pattern with the absolute path; raises UsageError."""
        place = LocalPattern.parse(pattern)
        return f"{place.path.resolve()} as={place.label[:-1]}" if place.label else str(place.path.resolve())

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the files at the selector's path, sorted by name; raises UsageError for a missing path."""
        place = LocalPattern.parse(query.pattern)
        for entry in list_folder(place.path):
            name = place.label + entry.name
            yield offer(name, entry) if isinstance(entry, FoundFile) else Skipped(name=name, reason=entry.reason)


def list_folder(path: Path) -> Iterator[FoundFile | SkippedPath]:
    """Yield what lies at a path: the file itself, or all files below a folder. Raises UsageError."""
    try:
        root = path.resolve(strict=True)
        if root.is_dir():
            next(root.iterdir(), None)
            return walk(root)
        status = root.stat()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"local: cannot list {str(path)!r}: {os_error_reason(error)}") from error
    if not root.is_file():
        raise UsageError(f"local: {str(path)!r} is neither a file nor a folder")
    if not is_safe_name(path.name):
        raise UsageError(f"local: the name of {path.name!r} is not printable UTF-8; rename the file")
    return iter([FoundFile(name=path.name, path=root, status=status)])


def offer(name: str, found: FoundFile) -> Checkpoint:
    file = RemoteFile(
        url=found.path.as_uri(), size=found.status.st_size, etag=file_version(found.status), path=found.name
    )
    return Checkpoint(name=name, files=(file,))


def expand_home(path: str, source: str = "local") -> Path:
    """Put a home folder in the place of `~`, which no shell does after a colon."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{source}: {path!r} names a home folder that is not known") from error


def validate_label(label: str, source: str = "local") -> str:
    """Return the label as the start of a name; raises UsageError unless it is a plain relative path."""
    label = label.strip()
    try:
        clean = str(relative_path(label))
    except UnsafeFileError:
        clean = ""
    if clean != label or clean in {"", "."} or not is_safe_name(clean):
        raise UsageError(f"{source}: the label {label!r} is not a relative name like lab/nets")
    return clean


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield LocalSource()
