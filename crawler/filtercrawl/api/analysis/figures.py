"""Figures, and the samples that they are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """The number of kernels, layers and models behind a result."""

    kernels: int
    layers: int
    models: int


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, drawn when the report is written.

    Attributes:
        name: Name of its files.
        title: Heading.
        caption: Text below the figure.
        basis: What the figure is computed from.
        table: Name of the table that it shows.
        draw: Draws on an empty `matplotlib.figure.Figure`.
        width: In inches. In the default width, type of 9.5 points is 9 px tall on a phone of 390 px.
        height: In inches.
    """

    name: str
    title: str
    caption: str
    basis: SampleSize
    table: str
    draw: Callable[[matplotlib.figure.Figure], None]
    width: float = 5.2
    height: float = 4.5
