"""Open a repository by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.transport import Transport
from filtercrawl_publish.repository.base import Repository

_WORD: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"


_ON_HUB: Final = re.compile(rf"({_WORD}/{_WORD})(?:@(.+))?")


def open_repository(text: str, transport: Transport) -> Repository:
    """Open `org/name`, `org/name@revision` or a folder; asks nothing yet.

    A folder begins with `/`, `./`, `../` or `~`, or is a directory that exists; `@` behind it names a version too.
    Raises UsageError for anything else.
    """
    from filtercrawl_publish.repository.folder import FolderRepository
    from filtercrawl_publish.repository.hub import HubRepository

    path, at, revision = text.rpartition("@")
    if text in (".", "..") or text.startswith(("/", "./", "../", "~")) or (text and Path(text).is_dir()):
        if at and not Path(text).expanduser().exists():
            return FolderRepository(path, revision)
        return FolderRepository(text)
    if path and Path(path).is_dir():
        return FolderRepository(path, revision)
    match = _ON_HUB.fullmatch(text)
    if match is None or ".." in match[1] or "--" in match[1] or match[1].endswith(".git"):
        raise UsageError(
            f"{text!r} is neither a dataset repo on the Hub, `org/name` or `org/name@revision`, nor a folder, `./name`"
        )
    return HubRepository(match[1], transport, match[2])
