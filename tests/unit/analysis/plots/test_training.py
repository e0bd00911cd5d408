"""Counts beside training curves."""

from __future__ import annotations

import pytest

from filtercrawl_analysis.plots.training import short_count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (500, "500"), (999, "999"), (12_345, "12.3k"), (999_499, "999k"), (999_500, "1M"), (999_999, "1M"),
     (1e6, "1M"), (999_999_999, "1G"), (2.5e12, "2500G")],
)  # fmt: skip
def test_counts_are_short(count: float, text: str) -> None:
    assert short_count(count) == text
