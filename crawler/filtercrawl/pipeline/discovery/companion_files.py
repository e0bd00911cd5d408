"""Find the files that a local checkpoint names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile, local_path
from filtercrawl.api.hub_cache import may_link_to
from filtercrawl.api.local_file import file_version, listed_folder


def find_companion_files(checkpoint: Checkpoint, paths: Sequence[str]) -> Iterator[RemoteFile]:
    """Yield the companions that exist inside the checkpoint's root, beside the main file, not beside what it links to.

    One that cannot be looked up is left out too: its name is too long, holds a NUL or a surrogate, or its symlinks
    form a cycle.
    """
    main = checkpoint.files[0]
    root = listed_folder(main, local_path(main))
    resolved_root = root.resolve()
    for path in dict.fromkeys(paths):
        try:
            if not (root / path).is_file():  # first: links are resolved part by part, of a name of any length
                continue
            target = (root / path).resolve()
            if not may_link_to(resolved_root, target):
                continue
            status, url = target.stat(), (root / path).as_uri()
        except (OSError, RuntimeError, ValueError):
            continue
        yield RemoteFile(url=url, size=status.st_size, etag=file_version(status), path=path)
