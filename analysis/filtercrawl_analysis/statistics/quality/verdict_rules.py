"""The verdict on a layer, from its statistics, and what the verdicts mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from filtercrawl_analysis.statistics.entropy.structure_test import POWER
from filtercrawl_analysis.statistics.quality.kernel_sample import MANY_NEAR
from filtercrawl_analysis.statistics.quality.outlier_bounds import MOST_ENERGY, ONE_IN

LEVEL: Final = 0.05
# Share of dead kernels from which on a layer is dead.
DEAD: Final = 0.9
# Largest share of distinct kernels of a repeated layer.
FEW_DISTINCT: Final = 0.25
# Largest share of near copies among independent kernels, and smallest share of the energy along one direction, for a
# layer of near copies.
FEW_NEAR_BY_CHANCE: Final = 0.5
ONE_DIRECTION: Final = 0.95

# In the order in which they are tried.
VERDICTS: Final = ("dead", "repeated", "outliers", "near copies", "ok", "too small", "random")
DEFINITIONS: Final = (
    "\nVerdicts, the first that applies:\ndead, all weights are zero, or for at least 90 % of the (sampled) kernels no "
    "weight reaches a hundredth of the median peak of the live ones, the fewest that hold 99 % of the energy\n"
    "repeated, at most a quarter of the live kernels differ by more than scale and sign\noutliers, at least 80 % of "
    f"the energy lies in at most one kernel of {ONE_IN} (with 95 % confidence, or exactly where all kernels are "
    "sampled; where it cannot be shown, the verdict is another)\nnear copies, at least 90 % of the live kernels equal "
    "another one but for scale, sign and 20 % of the norm (5 %, if that holds for 90 %), and either at most half of "
    "independent kernels with these second moments would, or 95 % of the energy lies along one direction\nok, the "
    "variance entropy is lower than that of independent weights, both with the layer's own distribution and with "
    "kernels of different scales (Benjamini-Hochberg over all layers, q <= 0.05)\ntoo small, it is not, but fewer "
    "than 80 % of layers of this size whose neighboring taps correlate by 0.5, as those of trained 3x3 kernels do on "
    "average, would be told from independent weights, or few of its weights decide the entropy and the sampled kernels "
    "alone do not show that it is\nrandom, it is not, and they would\nThat a layer cannot be told "
    "from random weights does not prove it untrained."
)


def layer_verdict(row: Mapping[str, Any]) -> str | None:
    """Return the first of `VERDICTS` that applies, as `DEFINITIONS` says; None where nothing can be said.

    Args:
        row: A row of `layer_verdicts`.
    """
    if row["norm_linf"] == 0 or _at_least(row["dead_share"], DEAD):
        return "dead"
    if row["distinct_share"] is not None and row["distinct_share"] <= FEW_DISTINCT:
        return "repeated"
    if _at_least(row["outlier_share_low"], MOST_ENERGY):
        return "outliers"
    if _at_least(row["near_copy_share"], MANY_NEAR) and (
        row["near_copy_null"] <= FEW_NEAR_BY_CHANCE or _at_least(row["one_kernel_share"], ONE_DIRECTION)
    ):
        return "near copies"
    if row["q_structured"] is not None and row["q_structured"] <= LEVEL:
        return "ok"
    if row["power"] is None:
        return None
    # A sample in which no structure shows does not tell that the other kernels have none.
    if row["power"] < POWER or row["null"] == "sample permutation":
        return "too small"
    return None if row["q_structured"] is None else "random"


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit
