"""The style of figures: a light and a dark theme whose colors color-blind readers can distinguish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex, to_rgb

from filtercrawl_analysis.plots.names import FONT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Smallest type in points. A phone of 390 px shows a figure of the default width, 5.2 inches, in 358 px: 9 px.
SMALL: Final = 9.5
# Marks from which on a scatter is one image within the SVG, whose size would otherwise grow with the dataset.
MAX_MARKS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colors of a theme, as `#rrggbb`.

    The colors of the cycle are distinguishable with protanopia, deuteranopia and tritanopia, and have a contrast of at
    least 3 to 1 with the paper.

    Attributes:
        name: The name of the theme.
        paper: Background.
        ink: Text.
        muted: Axes and grids.
        cycle: Groups, `C0` to `C6`.
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

# Color map of magnitudes: perceptually uniform, and nearly the same for color-blind readers.
SEQUENTIAL: Final = "cividis"
# The color of weights that are infinite or NaN, in the explorer as well; no finite weight has it.
NOT_FINITE: Final = "#ff00ff"
_BLUE_ORANGE: Final = ("#08406f", "#2f7fb8", "#9cc8e6", "#f4f2ee", "#f3bf8a", "#d9730d", "#7f3a02")


def diverging() -> Colormap:
    """Return the color map of signed numbers: blue below zero, nearly white there, orange above."""
    return LinearSegmentedColormap.from_list("blue-orange", list(_BLUE_ORANGE))


def start_at_zero(axes: Axes) -> None:
    """Let the vertical axis start at 0 where it would begin below, but no value is negative, as where all are 0."""
    if axes.get_ylim()[0] < 0 <= axes.dataLim.ymin:
        axes.set_ylim(bottom=0)


def ink() -> str:
    """Return the color of text in the current theme."""
    return str(mpl.rcParams["text.color"])


def paper() -> str:
    """Return the background color of the current theme; figures themselves are transparent."""
    return str(mpl.rcParams["axes.facecolor"])


def muted() -> str:
    """Return the color of axes in the current theme, for marks in the background."""
    return str(mpl.rcParams["axes.edgecolor"])


def text_on(color: Any) -> str:
    """Return black or white, whichever has the higher contrast with a color, in any form that matplotlib accepts."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"  # where both have the same contrast (WCAG 2)


def ordered_colors(count: int) -> list[str]:
    """Return colors of ordered groups: evenly spaced in lightness, dark to light, each with contrast to the paper."""
    low, high = (0.0, 0.6) if text_on(paper()) == "#000000" else (0.4, 1.0)
    steps = [low + (high - low) * i / max(count - 1, 1) for i in range(count)]
    return [to_hex(mpl.colormaps[SEQUENTIAL](step)) for step in steps]


def group_colors(count: int, *, ordered: bool) -> list[str]:
    """Return colors of groups: a sequence for ordered ones, else distinct ones, which repeat after seven."""
    return ordered_colors(count) if ordered else [f"C{i % len(LIGHT.cycle)}" for i in range(count)]


def settings(theme: Theme) -> dict[str, Any]:
    """Return the matplotlib settings of a theme; all others have the defaults of matplotlib."""
    return {
        "font.family": FONT,
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.columnspacing": 1.2,
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
        "hatch.linewidth": 0.5,
        "image.cmap": SEQUENTIAL,
        "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
        "svg.fonttype": "path",
    }
