"""p-values of an entropy among drawn entropies, and where few of them are below it."""

from __future__ import annotations

from typing import Final

from scipy import stats

from filtercrawl_analysis.numerics.moments import Array

# The smallest p-value stated is one over one more than this.
RESOLUTION: Final = 10_000
# P-values of an entropy below all that could be drawn.
SMALLEST: Final = (1 / (1 + RESOLUTION), 1.0)
# Draws of at most the entropy that are enough for a p-value.
ENOUGH: Final = 20
# Of equal entropies, rounding makes one larger.
ROUNDING: Final = 1e-12
# An entropy so many standard deviations below the mean draw is below 10,000 of them. With few taps the lower tail is as
# long as an exponential distribution's.
_FAR_BELOW: Final = 7
_FAR_BELOW_OF_FEW_TAPS: Final = 10
_FEW_TAPS: Final = 9


def p_values_from_draws(entropy: float, draws: Array) -> tuple[float, float]:
    """Return the shares of draws with at most, and with at least, an entropy, which itself counts as a draw."""
    n_below = int((draws <= entropy + ROUNDING).sum())
    n_above = int((draws >= entropy - ROUNDING).sum())
    return (1 + n_below) / (1 + len(draws)), (1 + n_above) / (1 + len(draws))


def sampled_p_values(entropy: float, draws: Array) -> tuple[float, float]:
    """Return p-values from some hundreds of draws; where few of them are at most the entropy, the first from a fit.

    A distribution of Pearson's type III (a shifted gamma distribution) with the mean, the deviation and the skewness of
    the draws then stands for those that were not drawn.
    """
    structured, even = p_values_from_draws(entropy, draws)
    if structured * (1 + len(draws)) > ENOUGH:
        return structured, even
    fitted = float(stats.pearson3.cdf(entropy, stats.skew(draws), draws.mean(), draws.std()))
    return min(max(fitted, SMALLEST[0]), (1 + ENOUGH) / (1 + len(draws))), even


def is_far_below(entropy: float, drawn: Array, taps: int) -> bool:
    """Return whether an entropy is so far below all draws that more of them are not needed to tell."""
    distance = _FAR_BELOW_OF_FEW_TAPS if taps < _FEW_TAPS else _FAR_BELOW
    return entropy + ROUNDING < float(drawn.mean() - distance * drawn.std())
