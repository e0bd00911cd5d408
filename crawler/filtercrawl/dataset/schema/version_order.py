"""The order of versions, whose names are text with numbers in it."""

from __future__ import annotations

import re
from typing import Final

# What is called so that no version has yet; no version can have this name.
UNRELEASED: Final = "unreleased"
_NUMBER: Final = re.compile(r"\d+")
# Above every name of a version: what no version has yet comes last.
_LAST: Final = "~"


def release_order(version: str | None) -> str:
    """Return what a version is sorted by: its name with every number brought to one width, `v1.10` behind `v1.2`.

    Up to twelve digits; None, for what no version has yet, comes last.
    """
    return _LAST if version is None else _NUMBER.sub(lambda found: f"{found[0]:0>12}", version)
