"""Which published version the dataset is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filtercrawl.dataset.files import manifest

_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_DAY: Final = re.compile(r"v(\d{4})\.(\d{2})\.(\d{2})(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Release:
    """A published version.

    Attributes:
        version: Its tag.
        hub_id: `org/name` on the Hub; None where it is published elsewhere.
        space_id: `org/name` of the Space on the Hub that shows it; None where there is none.
    """

    version: str
    hub_id: str | None = None
    space_id: str | None = None

    @property
    def url(self) -> str | None:
        """The page of the version on the Hub."""
        return self.hub_id and f"https://huggingface.co/datasets/{self.hub_id}/tree/{self.version}"

    @property
    def space_url(self) -> str | None:
        """The page of the Space on the Hub."""
        return self.space_id and f"https://huggingface.co/spaces/{self.space_id}"

    @property
    def date(self) -> str | None:
        """The day in its name, as `2026-11-23`; None for a name without one."""
        day = _DAY.fullmatch(self.version)
        return day and "-".join(day.groups()[:3])

    @property
    def semantic_version(self) -> str:
        """The version as MAJOR.MINOR.PATCH: `2026.1.2+3` for `v2026.01.02.3`; a name without a day as it is."""
        day = _DAY.fullmatch(self.version)
        if day is None:
            return self.version
        year, month, number, further = day.groups()
        return f"{year}.{int(month)}.{int(number)}" + (f"+{further}" if further else "")


def read_release(folder: Path, index_digest: str | None) -> Release | None:
    """Return the version whose change log lies in the folder, if it is of this index.

    After a version is published, a crawl may change the folder: then it is no version, until the next one is made.

    Args:
        folder: The dataset folder.
        index_digest: Digest of the files of `index`; None where there are none.
    """
    try:
        changes = json.loads((folder / manifest.CHANGES).read_bytes())
        version, of_index = (changes.get(key) for key in ("version", "index_digest"))
        hub_id, space_id = (_hub_id(changes.get(key)) for key in ("repository", "space"))
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    if not (isinstance(version, str) and _TAG.fullmatch(version)) or index_digest is None or of_index != index_digest:
        return None
    return Release(version=version, hub_id=hub_id, space_id=space_id)


def _hub_id(value: object) -> str | None:
    return value if isinstance(value, str) and _HUB_ID.fullmatch(value) else None
