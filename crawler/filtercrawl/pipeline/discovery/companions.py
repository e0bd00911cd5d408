"""Companion files of local checkpoints: those that a main file names, such as the parts of a sharded checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.known_models import KnownFiles
from filtercrawl.pipeline.discovery.companion_files import find_companion_files
from filtercrawl.pipeline.discovery.file_questions import FileReaders, PartCheck, is_readable, with_companions

_SHARD: Final = re.compile(r"(?<!\d)\d{1,6}-of-\d{1,6}(?!\d)")


def find_companions(
    checkpoints: Iterable[tuple[Checkpoint, KnownFiles | None]], readers: FileReaders
) -> Iterator[Checkpoint | str]:
    """Yield each checkpoint with the companion files that its main file names, or what the file is without weights.

    Only local files are opened, and only if they may have changed since the last run; only then are readers asked.

    Args:
        checkpoints: Some hundred checkpoints, with their files as they were read last.
        readers: Answer what a file is.
    """
    found = [_without_opening(checkpoint, known) for checkpoint, known in checkpoints]
    unsettled = [subject for subject in found if isinstance(subject, tuple)]
    answers = readers.ask(with_companions, unsettled, lambda subject: subject[0]) if unsettled else iter(())
    for settled in found:
        yield next(answers) if isinstance(settled, tuple) else settled


def _without_opening(checkpoint: Checkpoint, known: KnownFiles | None) -> Checkpoint | tuple[Checkpoint, bool]:
    """Return a checkpoint with its companions, or with whether it is known where its file has to be opened."""
    main = checkpoint.files[0]
    if len(checkpoint.files) > 1 or not main.url.startswith("file:"):
        return checkpoint
    before = (known.files if known is not None else None) or ()
    if before and main.etag is not None and before[0][1] == main.etag:
        paths = [path for path, _ in before[1:] if path is not None]
        return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths))) if paths else checkpoint
    return checkpoint, known is not None


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

    def __init__(self, checkpoints: Sequence[Checkpoint], readers: FileReaders, catalog: Catalog | None) -> None:
        """Describe a listing.

        Args:
            checkpoints: All checkpoints of the listing, with their companion files.
            readers: Answer what a file is.
            catalog: What earlier runs know.
        """
        self._listed = {checkpoint.files[0].url: checkpoint for checkpoint in checkpoints}
        self._readers = readers
        self._catalog = catalog
        self._readable: dict[str, bool] = {}

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
        unsettled = []
        for file in listed:
            if is_shard_name(file.path or file.url):
                if unchanged and not (self._catalog and self._catalog.has_location(file.url)):
                    yield file.url
                else:
                    unsettled.append((checkpoint, file, self._listed[file.url]))
            elif self._is_data_of(file, main):
                yield file.url
        answers = self._readers.ask(PartCheck, unsettled, lambda _: False) if unsettled else ()
        yield from (file.url for (_, file, _), answer in zip(unsettled, answers, strict=True) if answer)

    def _is_data_of(self, companion: RemoteFile, main: RemoteFile) -> bool:
        """Return whether a companion is external data: no checkpoint itself, of one that can be read."""
        if self._is_readable(companion.url) or not self._is_readable(main.url):
            return False
        # One that cannot be read now may be read again later.
        return not (self._catalog and self._catalog.has_content_from(companion.url))

    def _is_readable(self, url: str) -> bool:
        """Return whether a checkpoint of the listing can be read."""
        if url not in self._readable:
            (self._readable[url],) = self._readers.ask(is_readable, [self._listed[url]], lambda _: False)
        return self._readable[url]
