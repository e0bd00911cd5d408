"""How figures look: colours that colour-blind readers tell apart, on white and on dark paper, and little else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours as `#rrggbb`. paper: behind a figure; ink: text; muted: axes and grids; cycle: of groups, `C0` to `C6`.

    The colours of a cycle stay apart for people with protanopia, deuteranopia and tritanopia, and have a contrast of at
    least 3 to 1 with the paper.
    """

    name: str
    paper: str
    ink: str
    muted: str
    cycle: tuple[str, ...]


LIGHT: Final = Theme(
    name="light",
    paper="#ffffff",
    ink="#1b1f24",
    muted="#7a838c",
    cycle=("#0a60a9", "#d1540a", "#108f6b", "#e068b3", "#4b93fe", "#884100", "#333a45"),
)
DARK: Final = Theme(
    name="dark",
    paper="#15181d",
    ink="#e8eaed",
    muted="#8b949e",
    cycle=("#4899fb", "#f48b39", "#2fffba", "#ad9ca7", "#c0c1ff", "#ffd219", "#896da0"),
)

# Amounts; even in lightness, and the same picture for most colour-blind readers.
SEQUENTIAL: Final = "cividis"
_BLUE_ORANGE: Final = ("#08406f", "#2f7fb8", "#9cc8e6", "#f4f2ee", "#f3bf8a", "#d9730d", "#7f3a02")


def diverging() -> Colormap:
    """Return the colour map for signed numbers: blue below zero, nearly white there, orange above."""
    return LinearSegmentedColormap.from_list("blue-orange", list(_BLUE_ORANGE))


def ink() -> str:
    """Return the colour of text in the theme that is being drawn."""
    return str(mpl.rcParams["text.color"])


def paper() -> str:
    """Return the colour behind the figure in the theme that is being drawn; the figure itself is transparent."""
    return str(mpl.rcParams["axes.facecolor"])


def muted() -> str:
    """Return the colour of axes in the theme that is being drawn: for what stands behind the numbers."""
    return str(mpl.rcParams["axes.edgecolor"])


def text_on(colour: Any) -> str:
    """Return black or white, whichever reads better on `colour` (anything that matplotlib takes for one)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"  # where both have the same contrast (WCAG 2)


def label(text: object, length: int = 32) -> str:
    """Make outside text fit for a figure: one line, nothing unprintable, cut in its middle at `length`."""
    words = "unknown" if text is None else str(text)
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    head = (length - 1) // 2
    return line if len(line) <= length else f"{line[:head]}…{line[len(line) - (length - 1 - head) :]}"


def settings(theme: Theme) -> dict[str, Any]:
    """Return matplotlib's settings for a theme; whatever they do not name is matplotlib's own default."""
    return {
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.titlecolor": theme.ink,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "axes.edgecolor": theme.muted,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.muted,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.5,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=list(theme.cycle)),
        "lines.linewidth": 1.4,
        "lines.markersize": 4,
        "patch.linewidth": 0.6,
        "image.cmap": SEQUENTIAL,
        "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
        "svg.fonttype": "path",
    }
