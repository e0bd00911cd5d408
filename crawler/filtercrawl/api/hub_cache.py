"""The cache of huggingface_hub: files of a snapshot are links to blobs beside it.

Layout: `models--ORG--NAME/{blobs,refs,snapshots}`; `snapshots/REVISION/NAME` is a link to `../../blobs/HASH`, and
`refs/main` holds the revision of the branch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_REPOSITORY: Final = re.compile(r"^(models|datasets|spaces)--.+")
_REVISION: Final = re.compile(rb"[0-9a-zA-Z]{1,64}")


def is_cached_repository(folder: Path) -> bool:
    """Return whether a folder is the cache of one repository."""
    return _REPOSITORY.match(folder.name) is not None and _is_real_folder(folder / "snapshots")


def latest_snapshot(repository: Path) -> Path | None:
    """Return the snapshot of a cached repository that `refs/main` names; without one, the one that changed last.

    None if there is no snapshot.
    """
    snapshots = repository / "snapshots"
    try:
        branch = repository / "refs" / "main"
        revision = branch.read_bytes()[:65].strip() if branch.is_file() else b""  # a pipe would never end
        if _REVISION.fullmatch(revision) and _is_real_folder(found := snapshots / revision.decode()):
            return found
    except OSError:
        pass  # a revision that is no branch, such as a commit, has no file there
    try:
        return max(
            (folder for folder in snapshots.iterdir() if _is_real_folder(folder)),
            key=lambda folder: (folder.stat().st_mtime_ns, folder.name),
            default=None,
        )
    except OSError:
        return None


def blobs_of(folder: Path) -> Path | None:
    """Return the folder that the files of a snapshot may link to, None for a folder outside of a snapshot.

    Args:
        folder: A snapshot or a folder in one, resolved.
    """
    for snapshots in (folder, *folder.parents):
        if snapshots.name == "snapshots" and is_cached_repository(snapshots.parent):
            blobs = snapshots.parent / "blobs"
            return blobs if _is_real_folder(blobs) else None
    return None


def may_link_to(root: Path, target: Path) -> bool:
    """Return whether a link in a folder may be followed: inside the folder, or to the blobs of the folder's snapshot.

    Args:
        root: The folder, resolved.
        target: What the link leads to, resolved.
    """
    if target.is_relative_to(root):
        return True
    blobs = blobs_of(root)
    return blobs is not None and target.parent == blobs


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
