"""Which drift D a section shows, from sketches or the paper's, and how the two relate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A notice at the head of a section.

    Attributes:
        text: What it says.
        warning: Whether a reader would otherwise draw a wrong conclusion.
        command: What gives the D of the paper; None where the section has it.
    """

    text: str
    warning: bool
    command: str | None = None


_NOTICES: Final = {
    "sketch": Notice(
        text="D is computed from sketches here: coefficients in a fixed DCT basis, in bins over a fixed range. It is "
        "not the D of arXiv 2203.15331, whose coefficients are those of the principal components of all kernels, over "
        "their own range; for one pair of groups it is 0.635 from sketches and 0.425 by the paper's definition. Do not "
        "compare it with the paper's numbers.",
        warning=True,
        command="filtercrawl analyze --exact",
    ),
    "exact": Notice(
        text="D is that of arXiv 2203.15331: coefficients of the principal components of all kernels, in bins over "
        "their own range. D from sketches, the default, has another basis and range: for one pair of groups it is "
        "0.635, and 0.425 by the paper's definition. Two exact runs can be compared where basis, weights and range are "
        "the same.",
        warning=False,
    ),
}


def mode_notice(tables: Iterable[pa.Table]) -> Notice | None:
    """Return the notice for a section: by the column `mode` of its tables, None if no table has a known mode."""
    for table in tables:
        if "mode" in table.column_names:
            for mode in table["mode"].to_pylist():
                if mode in _NOTICES:
                    return _NOTICES[mode]
    return None
