"""The source `local`: every file in a folder, or a single file, is a checkpoint if a reader recognizes it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import UnsafeFileError, UsageError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.hub_cache import blobs_of
from filtercrawl.api.local_file import file_version
from filtercrawl.api.range_file import relative_path
from filtercrawl.api.source import Query, Source
from filtercrawl.api.transport import Transport
from filtercrawl.api.untrusted_names import is_safe_name
from filtercrawl_plugins.sources.local.metadata import MetadataLookup
from filtercrawl_plugins.sources.local.metadata_values import ARCHITECTURE
from filtercrawl_plugins.sources.local.runs import RunLookup
from filtercrawl_plugins.sources.local.walk import FoundFile, SkippedPath, is_dataset, os_error_reason, walk

_WILDCARD: Final = re.compile(r"[*?\[]")
# The last option behind a path. Greedy, so that a path may contain such text itself.
_OPTION: Final = re.compile(r"^(?P<path>.*) (?P<name>as|arch)=(?P<value>.*)$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class LocalPattern:
    """A parsed pattern, `PATH`, with `as=LABEL` and `arch=SOURCE/NAME` behind it in any order.

    Attributes:
        path: File or folder, or a folder and a pattern of paths below it.
        label: Prefix of the names, with a trailing slash; empty if there is none.
        arch: The architecture of all its files, `timm/resnet18`; None if there is none.
    """

    path: Path
    label: str
    arch: str | None = None

    @classmethod
    def parse(cls, pattern: str | None, source: str = "local") -> LocalPattern:
        """Parse the part of a selector after the colon.

        Args:
            pattern: The pattern.
            source: Name of the source, for messages.

        Raises:
            UsageError: The path is missing, the label is not a relative path, or the architecture has no source.
        """
        path, options = (pattern or "").strip(), dict[str, str]()
        while (found := _OPTION.match(path)) is not None and found["name"] not in options:
            options[found["name"]] = found["value"].strip()
            path = found["path"]
        if not path.strip() or "\0" in path:
            raise UsageError(f"{source} needs a path: {source}:PATH")
        prefix = f"{validate_label(options['as'], source)}/" if "as" in options else ""
        arch = options.get("arch")
        if arch is not None and not ARCHITECTURE.fullmatch(arch):
            raise UsageError(f"{source}: the architecture {arch!r} is not SOURCE/NAME, such as timm/resnet18")
        return cls(path=expand_home(path.strip(), source), label=prefix, arch=arch)

    @property
    def canonical(self) -> str:
        """The pattern with an absolute path; see `absolute`."""
        root, glob = split_glob(self.path)
        path = str(absolute(root)) if glob is None else str(absolute(root) / glob)
        label = f" as={self.label.removesuffix('/')}" if self.label else ""
        return f"{path}{label}" + (f" arch={self.arch}" if self.arch else "")


SHARD_REASON: Final = (
    "a shard of torch.distributed.checkpoint; its tensors are those of the checkpoint .metadata beside it"
)
UNFINISHED_REASON: Final = "its name is that of a file that is still being downloaded or written"
# By browsers, wget, curl, aria2, rsync and huggingface_hub.
_UNFINISHED: Final = frozenset({".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp"})


class LocalSource:
    """Offers every regular file below a folder as a checkpoint; readers decide which contain weights.

    `local:PATH` names a checkpoint by its POSIX path below PATH, `local:PATH as=LABEL` puts `LABEL/` before it.
    `local:PATH/*.pth` offers those of the files below PATH whose path matches.
    `local:PATH arch=timm/resnet18` states the architecture. A file metadata.csv, metadata.jsonl or metadata.parquet
    states columns of `models` by `file_name`, which may be a pattern. Runs and steps are found where trainers leave
    them; see `runs`.
    Symlinks are followed if they stay in the folder. Version control, caches and datasets are left out.
    """

    name = "local"
    setting_names = ()
    needs_pattern = True

    def canonical(self, pattern: str) -> str:
        """Return a pattern with an absolute path; raises UsageError."""
        return LocalPattern.parse(pattern).canonical

    def checkpoints(self, transport: Transport, query: Query) -> Iterator[Offer]:  # noqa: ARG002 - no network here
        """Yield the files at the path, sorted by name; raises UsageError if the path does not exist."""
        location = LocalPattern.parse(query.pattern)
        path, glob = split_glob(location.path)
        entries, named = list(list_folder(path)), path.is_file()
        root = absolute(path).parent if named else absolute(path)
        runs = RunLookup(root, location.label, None if named else [entry.name for entry in entries])
        metadata = MetadataLookup(root, query.previous_states)
        chosen = [entry for entry in entries if glob is None or fnmatchcase(entry.name, glob)]
        if entries and not chosen:
            raise UsageError(f"local: no file below {str(path)!r} matches {glob!r}; `*` matches any text, also with /")
        for entry in chosen:
            name = location.label + entry.name
            if isinstance(entry, SkippedPath):
                yield Skipped(name=name, reason=entry.reason)
            elif not named and is_distributed_shard(entry.path):
                yield Skipped(name=name, reason=SHARD_REASON)
            elif not named and entry.path.suffix.lower() in _UNFINISHED:
                yield Skipped(name=name, reason=UNFINISHED_REASON)
            elif named or not metadata.is_metadata(entry.name):
                checkpoint = replace(make_checkpoint(name, entry), named=named, arch=location.arch)
                if (found := runs.run_of(entry.name)) is not None:
                    checkpoint = replace(checkpoint, run=found.run, meta=CheckpointMetadata(extra=found.notes))
                yield metadata.apply(checkpoint, entry.name)
        if not named and glob is None:
            metadata.warn_unmatched()


def is_distributed_shard(path: Path) -> bool:
    """Return whether a file is a shard beside the metadata that list its tensors."""
    return path.suffix == ".distcp" and (path.parent / ".metadata").is_file()


def list_folder(path: Path) -> Iterator[FoundFile | SkippedPath]:
    """Yield the file at a path, or all files below a folder.

    Raises:
        UsageError: There is neither, it cannot be listed, or the folder is a dataset.
    """
    try:
        root = absolute(path)
        if root.is_dir():
            if is_dataset(list(root.iterdir())):
                raise UsageError(
                    f"local: {str(path)!r} is a dataset of filtercrawl, which holds no checkpoints; name the folder of "
                    "the checkpoints"
                )
            return walk(root)
        status = root.stat()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"local: cannot list {str(path)!r}: {os_error_reason(error)}") from error
    if not root.is_file():
        raise UsageError(f"local: {str(path)!r} is neither a file nor a folder")
    if not is_safe_name(path.name):
        raise UsageError(f"local: the name of {path.name!r} is not printable UTF-8; rename the file")
    return iter([FoundFile(name=path.name, path=root, status=status)])


def make_checkpoint(name: str, found: FoundFile) -> Checkpoint:
    """Return the checkpoint of one file."""
    file = RemoteFile(
        url=found.path.as_uri(), size=found.status.st_size, etag=file_version(found.status), path=found.name
    )
    return Checkpoint(name=name, files=(file,))


def split_glob(path: Path) -> tuple[Path, str | None]:
    """Return the folder of a path with wildcards, and the pattern below it; None where the path is one that exists."""
    if os.path.lexists(path):  # pathlib raises for a too long name
        return path, None
    first = next((i for i, part in enumerate(path.parts) if _WILDCARD.search(part)), None)
    if first is None:
        return path, None
    return Path(*path.parts[:first]), "/".join(path.parts[first:])


def absolute(path: Path) -> Path:
    """Return an absolute path without links, but for a link from a snapshot of huggingface_hub's cache to a blob.

    The other files of a checkpoint are beside such a link; beside any other file they are beside what it leads to.
    Raises nothing, also where the path does not exist.
    """
    real = Path(os.path.realpath(path))
    if path.name in {"", "..", "."} or os.path.isdir(real):  # noqa: PTH112 - pathlib raises for a too long name
        return real
    folder = Path(os.path.realpath(path.parent))
    return folder / path.name if real.parent == blobs_of(folder) else real


def expand_home(path: str, source: str = "local") -> Path:
    """Expand `~`, which a shell does not do after a colon; raises UsageError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{source}: {path!r}: the home folder is not known") from error


def validate_label(label: str, source: str = "local") -> str:
    """Return a label without surrounding spaces; raises UsageError unless it is a normalized relative path."""
    label = label.strip()
    try:
        clean = str(relative_path(label))
    except UnsafeFileError:
        clean = ""
    if clean != label or clean in {"", "."} or not is_safe_name(clean):
        raise UsageError(f"{source}: the label {label!r} is not a relative path such as lab/nets")
    return clean


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    """Yield the source of this plugin."""
    yield LocalSource()
