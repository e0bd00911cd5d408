"""Companion files of local checkpoints: those that a main file names, such as the parts of a sharded checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, folder, local_path
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.format_names import FORMATS_WITHOUT_READER, format_name
from filtercrawl.api.hub_cache import may_link_to
from filtercrawl.api.range_file import LocalFile, file_version, relative_path
from filtercrawl.api.reader import Reader, find_reader
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS
from filtercrawl.dataset.schema.model_row import ModelRow


def with_companions(checkpoint: Checkpoint, readers: Sequence[Reader], known: ModelRow | None) -> Checkpoint | str:
    """Return a checkpoint with the companion files that its main file names, or what the file is if it has no weights.

    Only local files are opened, and only if they may have changed since the last run.
    """
    main = checkpoint.files[0]
    if len(checkpoint.files) > 1 or not main.url.startswith("file:"):
        return checkpoint
    before = (known.state.files if known is not None else None) or ()
    if before and main.etag is not None and before[0][1] == main.etag:
        paths = [path for path, _ in before[1:] if path is not None]
        return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    try:
        with LocalFile(local_path(main)) as file:
            reader = find_reader(readers, file)
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
    main_path = local_path(main)
    depth = len(PurePosixPath(main.path or main_path.name).parts)
    root = Path(*main_path.parts[:-depth])
    for path in dict.fromkeys(paths):
        try:
            target = (root / path).resolve()
            if not target.is_file() or not may_link_to(root.resolve(), target):
                continue
            status, url = target.stat(), (root / path).as_uri()
        except (OSError, RuntimeError, ValueError):
            continue
        yield RemoteFile(url=url, size=status.st_size, etag=file_version(status), path=path)
