"""Companion files of local checkpoints: those that a main file names, such as the parts of a sharded checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, folder, local_path
from filtercrawl.api.errors import Cancelled, CheckpointError, FormatError
from filtercrawl.api.format_names import FORMATS_WITHOUT_READER, format_name
from filtercrawl.api.hub_cache import may_link_to
from filtercrawl.api.local_file import LocalFile, file_version, listed_folder, open_listed
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import RandomAccessFile, relative_path
from filtercrawl.api.reader import Reader, SupportsCompanionCheck, find_reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.known_models import KnownFiles

_SHARD: Final = re.compile(r"(?<!\d)\d{1,6}-of-\d{1,6}(?!\d)")


def with_companions(checkpoint: Checkpoint, plugins: Plugins, known: KnownFiles | None) -> Checkpoint | str:
    """Return a checkpoint with the companion files that its main file names, or what the file is if it has no weights.

    Only local files are opened, and only if they may have changed since the last run; only then are readers imported.
    """
    main = checkpoint.files[0]
    if len(checkpoint.files) > 1 or not main.url.startswith("file:"):
        return checkpoint
    before = (known.files if known is not None else None) or ()
    if before and main.etag is not None and before[0][1] == main.etag:
        paths = [path for path, _ in before[1:] if path is not None]
        return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths))) if paths else checkpoint
    try:
        with open_listed(main) as file:
            reader = find_reader(plugins.readers, file)
            if reader is None:
                suffix = PurePosixPath(main.path or checkpoint.name).suffix.lower()
                if checkpoint.named or known is not None or suffix in WEIGHT_EXTENSIONS | FORMATS_WITHOUT_READER.keys():
                    return checkpoint
                return format_name(file) or "of no known format"
            paths = [str(folder(checkpoint) / relative_path(path)) for path in reader.companion_paths(file)]
            return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 - crawling the checkpoint will say what is wrong with it
        return checkpoint


def find_companion_files(checkpoint: Checkpoint, paths: Sequence[str]) -> Iterator[RemoteFile]:
    """Yield the companions that exist inside the checkpoint's root, beside the main file, not beside what it links to.

    One that cannot be looked up is left out too: its name is too long, holds a NUL or a surrogate, or its symlinks
    form a cycle.
    """
    main = checkpoint.files[0]
    root = listed_folder(main, local_path(main))
    for path in dict.fromkeys(paths):
        try:
            target = (root / path).resolve()
            if not target.is_file() or not may_link_to(root.resolve(), target):
                continue
            status, url = target.stat(), (root / path).as_uri()
        except (OSError, RuntimeError, ValueError):
            continue
        yield RemoteFile(url=url, size=status.st_size, etag=file_version(status), path=path)


def is_shard_name(path: str) -> bool:
    """Return whether a path names a part of a checkpoint: `model-00001-of-00005.safetensors`, `__0_0.distcp`."""
    name = PurePosixPath(path).name
    return name.endswith(".distcp") or _SHARD.search(name) is not None


class PartFinder:
    """Tells which companion files of local checkpoints are parts of them, and not checkpoints of their own.

    A file may name any other file beside it, so its word alone hides none. A companion is a part

    - where its own name says that it is a shard, and it holds what the index says, or cannot be read;
    - where it is no checkpoint (no reader reads it, and none ever did) and the file that names it is read whole.
    """

    def __init__(self, checkpoints: Sequence[Checkpoint], plugins: Plugins, catalog: Catalog | None) -> None:
        """Describe a listing.

        Args:
            checkpoints: All checkpoints of the listing, with their companion files.
            plugins: Installed readers, imported only where a file has to be opened.
            catalog: What earlier runs know.
        """
        self._listed = {checkpoint.files[0].url: checkpoint for checkpoint in checkpoints}
        self._plugins = plugins
        self._catalog = catalog
        self._tensors: dict[str, tuple[StoredTensor, ...] | None] = {}

    def parts(self, checkpoint: Checkpoint, known: KnownFiles | None) -> Iterator[str]:
        """Yield the addresses of companion files that are parts of a checkpoint.

        No shard is opened if no file has changed since the last run, and it was no checkpoint of its own.

        Args:
            checkpoint: A checkpoint of the listing.
            known: Its files as they were read.
        """
        main, *others = checkpoint.files
        listed = [file for file in others if file.url in self._listed and file.url != main.url]
        if not listed:
            return
        state = known.files if known is not None else None
        unchanged = state is not None and [etag for _, etag in state] == [file.etag for file in checkpoint.files]
        for file in listed:
            if is_shard_name(file.path or file.url):
                settled = unchanged and not (self._catalog and self._catalog.has_location(file.url))
                if settled or (tensors := self._tensors_of(file.url)) is None or self._owns(checkpoint, file, tensors):
                    yield file.url
            elif self._is_data_of(file, main):
                yield file.url

    def _is_data_of(self, companion: RemoteFile, main: RemoteFile) -> bool:
        """Return whether a companion is external data: no checkpoint itself, of one that can be read."""
        if self._tensors_of(companion.url) is not None or self._tensors_of(main.url) is None:
            return False
        # One that cannot be read now may be read again later.
        return not (self._catalog and self._catalog.has_content_from(companion.url))

    def _owns(self, checkpoint: Checkpoint, companion: RemoteFile, tensors: Sequence[StoredTensor]) -> bool:
        path = str(PurePosixPath(companion.path or "").relative_to(folder(checkpoint)))
        try:
            with open_listed(checkpoint.files[0]) as file:
                reader: object = find_reader(self._plugins.readers, file)
                return isinstance(reader, SupportsCompanionCheck) and reader.owns_companion(file, path, tensors)
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 - a plugin's reader may raise anything
            return False

    def _tensors_of(self, url: str) -> tuple[StoredTensor, ...] | None:
        """Return the tensors of a checkpoint of the listing; None if no reader reads it without an error."""
        if url not in self._tensors:
            try:
                with ExitStack() as opened:
                    self._tensors[url] = _read(self._listed[url], self._plugins.readers, opened)
            except Cancelled:
                raise
            except Exception:  # noqa: BLE001 - crawling the checkpoint will say what is wrong with it
                self._tensors[url] = None
        return self._tensors[url]


def _read(checkpoint: Checkpoint, readers: Sequence[Reader], opened: ExitStack) -> tuple[StoredTensor, ...] | None:
    files = _LocalFiles(checkpoint, readers, opened)
    reader = find_reader(readers, files.main)
    return None if reader is None else tuple(reader.tensors(files))


class _LocalFiles:
    """The files of a local checkpoint, as its reader sees them."""

    def __init__(
        self, checkpoint: Checkpoint, readers: Sequence[Reader], opened: ExitStack, main: RemoteFile | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._readers = readers
        self._opened = opened
        self.main: RandomAccessFile = self._open(main or checkpoint.files[0])

    def open(self, path: str) -> RandomAccessFile:
        return self._open(self._find(path))

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        # Without readers: an index names no index.
        shard = _LocalFiles(self._checkpoint, (), self._opened, self._find(path))
        reader = find_reader(self._readers, shard.main)
        if reader is None:
            raise FormatError(f"{path}: no reader claims it")
        return reader.tensors(shard)

    def _find(self, path: str) -> RemoteFile:
        wanted = str(folder(self._checkpoint) / relative_path(path))
        found = next((file for file in self._checkpoint.files if file.path == wanted), None)
        if found is None:
            raise CheckpointError(f"{path}: no such file")
        return found

    def _open(self, file: RemoteFile) -> LocalFile:
        return self._opened.enter_context(open_listed(file))
