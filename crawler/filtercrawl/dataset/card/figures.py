"""Which figures the card shows: kernels of some layers, and figures of the analyses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

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


@dataclass(frozen=True, kw_only=True)
class PicturedLayer:
    """A layer in the picture of kernels; all of it is text of a checkpoint, not to be trusted.

    Attributes:
        model_id: Its checkpoint.
        layer: The path of its module.
        kernel: Its kernel size.
        is_first: Whether it is known to be the first layer.
    """

    model_id: str
    layer: str
    kernel: str
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class KernelPicture:
    """What the picture of kernels shows.

    Attributes:
        layers: Its layers, line by line.
        kernels: Kernels of each layer, at most.
    """

    layers: tuple[PicturedLayer, ...]
    kernels: int

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Undo `dataclasses.asdict`."""
        return cls(layers=tuple(PicturedLayer(**layer) for layer in content["layers"]), kernels=content["kernels"])


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
