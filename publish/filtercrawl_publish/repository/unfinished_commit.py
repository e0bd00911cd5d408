"""The commit to a folder that a killed run prepared and no reader has seen: noted before it is made, then removed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from filtercrawl.dataset.files.atomic import write_text

__all__ = ["begin_commit", "end_commit", "remove_unfinished"]

_MARK: Final = "unfinished"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def begin_commit(versions: Path, commit: str) -> None:
    """Note that a commit is about to appear in the folder of versions."""
    write_text(versions / _MARK, versions, commit)


def end_commit(versions: Path) -> None:
    """Note that readers see the commit."""
    (versions / _MARK).unlink(missing_ok=True)


def remove_unfinished(versions: Path, kept: Collection[str | None]) -> None:
    """Remove what a killed run left of a commit, unless it is one of `kept`."""
    if not (versions / _MARK).is_file():
        return
    commit = (versions / _MARK).read_text("utf-8")
    if commit not in kept and _COMMIT.fullmatch(commit):
        shutil.rmtree(versions / commit, ignore_errors=True)
        (versions / f"{commit}.json").unlink(missing_ok=True)
    end_commit(versions)
