"""The sentences on models that are left out."""

from __future__ import annotations

from typing import Any

import pytest

from filtercrawl_analysis.analyses.influence import influence_findings


def drift(value: float, without: float, **facts: Any) -> dict[str, Any]:
    row = {"what": "drift", "kernel": "3x3", "component": None, "column": "task", "group_a": "a", "group_b": "b"}
    return {**row, "model_id": "m", "value": value, "without": without, "change": without - value, **facts}


FIRST = {
    "what": "explained_variance", "kernel": "3x3", "component": 0, "column": None, "model_id": "m", "value": 0.5,
    "without": 0.4, "change": -0.1,
}  # fmt: skip


@pytest.mark.parametrize("without", [0.0, 0.25])
def test_groups_of_equal_distributions_may_differ_without_a_model(without: float) -> None:
    _, finding = influence_findings([FIRST, drift(0.0, without, model_id="n"), drift(1.0, 0.9)])
    assert finding.row == (1 if without else 2)


def test_the_number_is_the_change() -> None:
    share, change = (finding.estimate for finding in influence_findings([FIRST, drift(1.0, 0.9, group_a="c")]))
    assert share is not None
    assert change is not None
    assert (round(share.value, 9), share.percent, round(change.value, 9)) == (-10.0, False, -0.1)
    assert share.label.startswith("percentage points: the change without m")
    assert share.label.endswith("along their first component, from 50.0% to 40.0%")


def test_groups_are_said_in_words() -> None:
    _, finding = influence_findings([FIRST, drift(1.0, 0.9, column="depth_decile", group_a="0", group_b="9")])
    assert "between depth decile 0 and depth decile 9 (by depth decile): D = 1, and 0.9 without m" in finding.text
