"""Which figures of the analyses the card shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

RESULTS: Final = "analysis/results.json"
REPORT: Final = "analysis/report.html"
LIMIT: Final = 4
_PATH: Final = re.compile(r"analysis/figures/[A-Za-z0-9][A-Za-z0-9_-]*\.png")


@dataclass(frozen=True, kw_only=True)
class CardFigure:
    """A figure of an analysis that the card shows.

    Attributes:
        path: Path of a PNG file, relative to the dataset.
        title: Text of a plugin, not to be trusted.
        caption: Text of a plugin, not to be trusted.
    """

    path: str
    title: str
    caption: str


def card_figures(folder: Path) -> tuple[CardFigure, ...]:
    """Return the first figure of each analysis, at most `LIMIT`; none if results.json cannot be read."""
    try:
        analyses = json.loads((folder / RESULTS).read_bytes())["analyses"]
        return tuple(islice(_first(folder, analyses), LIMIT))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def _first(folder: Path, analyses: Any) -> Iterator[CardFigure]:
    for analysis in analyses:
        for figure in analysis["figures"]:
            paths = [path for path in figure["files"] if _PATH.fullmatch(path) and (folder / path).is_file()]
            if paths:
                yield CardFigure(path=paths[0], title=str(figure["title"]), caption=str(figure["caption"]))
                break
