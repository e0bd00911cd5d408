"""The definitions of the verdicts, as tables state them."""

from __future__ import annotations

from filtercrawl_analysis.statistics.quality.verdict_rules import DEFINITIONS, VERDICTS


def test_each_verdict_has_a_line_in_the_order_in_which_they_are_tried() -> None:
    lines = DEFINITIONS.splitlines()
    assert [
        line.partition(",")[0] for line in lines if line.startswith(tuple(f"{name}," for name in VERDICTS))
    ] == list(VERDICTS)
