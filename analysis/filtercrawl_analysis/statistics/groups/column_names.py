"""Columns as parts of the names of tables and figures."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_PLAIN: Final = re.compile("[a-z0-9_]{1,40}")
# Characters that are kept of other names.
_KEPT: Final = 24


def name_part(column: str) -> str:
    """Return what stands for a column in the name of a table or figure, which becomes that of a file.

    It is the column itself for those of `index` and `models`. A key of `models.extra` may have any characters: it is
    written in lower-case letters, digits and underscores, with a part of its hash, so that no two are the same.
    """
    if _PLAIN.fullmatch(column):
        return column
    kept = re.sub("[^a-z0-9]+", "_", column.lower()).strip("_")[:_KEPT]
    digest = hashlib.sha256(column.encode()).hexdigest()[:8]
    return f"{kept}_{digest}" if kept else digest
