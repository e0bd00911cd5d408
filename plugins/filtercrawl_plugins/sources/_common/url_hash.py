"""The piece of a sha256 that zoos put into the names of their files."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_HASH: Final = re.compile(r"[-_]([0-9a-f]{8,64})\.[a-z.]+$")


def hash_from_url(url: str) -> str | None:
    """Return the hexadecimal hash in the name of the file at a URL (`resnet18-f37072fd.pth`), None if there is none.

    It is the first digits of the file's sha256, and the zoos give a new file a new one: a revision, and evidence.
    """
    match = _HASH.search(urlsplit(url).path.rpartition("/")[2])
    return match[1] if match else None
