"""Which findings the page opens with, and how their numbers are said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.report.story import (
    MAX_FINDINGS,
    MAX_OF_ANALYSIS,
    MIN_FINDINGS,
    choose_findings,
    estimate_view,
    strength,
)


def estimate(value: float = 0.5, **known: Any) -> dict[str, Any]:
    return {
        "label": "of it",
        "value": value,
        "percent": False,
        "note": "",
        **dict.fromkeys(("low", "high", "p", "q")),
        **known,
    }


def finding(text: str, figure: str | None = None, number: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"text": text, "figure": figure, "estimate": number}


def texts(analyses: list[dict[str, Any]], *drawn: str) -> list[str]:
    return [found["text"] for _, found in choose_findings(analyses, frozenset(drawn))]


def test_findings_told_from_chance_come_first_then_those_with_an_interval() -> None:
    interval, significant = estimate(low=0.4, high=0.6), estimate(q=0.01)
    analyses = [
        {"name": "a", "findings": [finding("counted", "a1", estimate()), finding("second", "a2", significant)]},
        {"name": "b", "findings": [finding("with interval", "b1", interval)]},
        {"name": "c", "findings": [finding("told", "c1", significant), finding("also told", "c2", significant)]},
    ]
    assert texts(analyses, "a1", "a2", "b1", "c1", "c2") == ["second", "told", "with interval", "also told", "counted"]


def test_what_is_not_told_from_chance_comes_last() -> None:
    null = estimate(0.15, low=0.0, high=1.28, q=0.68)
    analyses = [
        {"name": "a", "findings": [finding("null", "a1", null), finding("words")]},
        {"name": "b", "findings": [finding("counted", "b1", estimate())]},
        {"name": "c", "findings": [finding("told", "c1", estimate(p=0.04))]},
        {"name": "d", "findings": [finding("interval", "d1", estimate(low=0, high=1))]},
    ]
    assert texts(analyses, "a1", "b1", "c1", "d1") == ["told", "interval", "counted", "words", "null"]


def test_findings_without_a_number_or_a_drawn_figure_only_fill_up() -> None:
    analyses = [
        {"name": "a", "findings": [finding("words"), finding("not drawn", "gone", estimate()), finding("third")]},
        {"name": "b", "findings": [finding("number", "b1", estimate())]},
    ]
    assert texts(analyses, "b1") == ["number", "words", "not drawn"]


findings = st.builds(
    finding,
    st.text(max_size=3),
    st.sampled_from([None, *"uvwxyz"]),
    st.none() | st.builds(estimate, q=st.none() | st.floats(0, 1), low=st.just(0.0), high=st.just(1.0)),
)


@given(st.lists(st.lists(findings, max_size=4), max_size=12))
def test_the_rule_holds_for_any_findings(given_findings: list[list[dict[str, Any]]]) -> None:
    analyses = [{"name": str(i), "findings": own} for i, own in enumerate(given_findings)]
    chosen = choose_findings(analyses, frozenset("uvwx"))
    told = [found for _, found in chosen if found["estimate"] is not None and found["figure"] in set("uvwx")]
    assert len(chosen) <= MAX_FINDINGS
    figures = [found["figure"] for _, found in chosen if found["figure"] is not None]
    assert figures == list(dict.fromkeys(figures))
    assert len(chosen) == len(told) or len(chosen) <= MIN_FINDINGS
    names = [name for name, found in chosen if found in told]
    assert all(names.count(name) <= MAX_OF_ANALYSIS for name in names)
    first = [strength(found) for position, found in enumerate(told) if names[position] not in names[:position]]
    assert first == sorted(first)


@pytest.mark.parametrize(
    ("number", "value", "interval", "test"),
    [
        (estimate(0.328, low=0.158, high=0.65, q=0.0019), "0.33", "95 % interval 0.16 to 0.65", "q = 0.0019"),
        (estimate(0.277, low=0.223, high=0.338, percent=True), "28 %", "95 % interval 22 % to 34 %", ""),
        (estimate(0.0321, percent=True, note="a count of all"), "3.2 %", "a count of all", ""),
        (estimate(3.9e-5, low=0.0, high=2e-4), "less than 0.001", "95 % interval 0 to less than 0.001", ""),
        (estimate(-3.9e-5, low=-0.25, high=1.234), "above -0.001", "95 % interval -0.25 to 1.23", ""),
        (estimate(12_345.0, p=0.5), "12,345", "no interval", "p = 0.5"),
        (estimate(1_234.0, note="a count of all"), "1,234", "a count of all", ""),
    ],
)
def test_numbers_in_words(number: dict[str, Any], value: str, interval: str, test: str) -> None:
    expected = {"label": "of it", "value": value, "interval": interval, "test": test}
    assert estimate_view(number) == {**expected, "null": test == "p = 0.5"}


def test_a_finding_without_a_number_shows_none() -> None:
    assert estimate_view(None) is None


@pytest.mark.parametrize(("value", "said"), [(3, "3"), (1_234, "1,234"), (0, "0"), (-2, "-2")])
def test_counts_may_be_whole_numbers_of_python(value: int, said: str) -> None:
    assert estimate_view(estimate(value))["value"] == said
