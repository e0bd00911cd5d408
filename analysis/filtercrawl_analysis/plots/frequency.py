"""Energy by frequency drawn as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = {"all": "o-", "first": "^-", "between": "s-", "last": "v-"}


def frequency_profile(canvas: Figure, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the share of the energy at each frequency, a line a position; rows: of the table, one kernel size."""
    axes = canvas.add_subplot()
    for i, (position, style) in enumerate(_STYLES.items()):
        here = [row for row in rows if row["position"] == position]
        if here:
            text = f"{position} ({here[0]['layers']} layers)"
            axes.plot([r["frequency"] for r in here], [r["share"] for r in here], style, color=f"C{i}", label=text)
    noise = [row for row in rows if row["position"] == "all"]
    axes.plot(
        [r["frequency"] for r in noise], [r["share_of_noise"] for r in noise], "--", color="C6", label="random numbers"
    )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("radial frequency, in units of the Nyquist frequency")
    axes.set_ylabel("share of the energy")
    axes.grid(visible=True)
    axes.legend()
