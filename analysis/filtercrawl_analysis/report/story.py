"""Which findings the page opens with: five to eight, chosen by a rule over what the analyses report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from filtercrawl.api.analysis import SampleSize
from filtercrawl_analysis.report.section_view import (
    PageContent,
    figure_view,
    filled_tables,
    finding_view,
    format_sample_size,
    origin_note,
)
from filtercrawl_analysis.report.table_view import number

MIN_FINDINGS: Final = 5
MAX_FINDINGS: Final = 8
# Findings of one analysis.
MAX_OF_ANALYSIS: Final = 2
SIGNIFICANT: Final = 0.05
# Numbers closer to zero are not written out.
SMALLEST: Final = 0.001
# Whole numbers from here on are rounded, as all others are.
MANY: Final = 1e9
RULE: Final = (
    f"Up to {MAX_FINDINGS} findings, one of each analysis and then a second one: those that have a figure and state a "
    f"number. Those told from chance (q or p at most {SIGNIFICANT}) come first, then those with a 95 % interval, then "
    "the others, each in the order of the analyses. No figure is shown twice. Where there are fewer than "
    f"{MIN_FINDINGS}, findings without a number or a figure follow. Those that were tested and not told from chance "
    "come last."
)

Finding = Mapping[str, Any]


def choose_findings(analyses: Sequence[Mapping[str, Any]], drawn: frozenset[str]) -> list[tuple[str, Finding]]:
    """Return the findings that the page opens with, by `RULE`, each after the name of its analysis.

    One whose figure is shown above it has none.

    Args:
        analyses: Those of results.json.
        drawn: Names of the figures that the page embeds.
    """
    strong, weak = (list(_ranked(analyses, drawn, complete=complete)) for complete in (True, False))
    chosen: list[tuple[str, Finding]] = []
    shown: set[str] = set()
    for name, finding in sorted(strong, key=lambda item: is_null_result(item[1])):
        if len(chosen) < MAX_FINDINGS and finding["figure"] not in shown:
            chosen.append((name, finding))
            shown.add(finding["figure"])
    for name, finding in weak[: max(0, MIN_FINDINGS - len(chosen))]:
        chosen.append((name, finding if finding["figure"] not in shown else {**finding, "figure": None}))
        shown.add(finding["figure"])
    return sorted(chosen, key=lambda item: is_null_result(item[1]))


def _ranked(
    analyses: Sequence[Mapping[str, Any]], drawn: frozenset[str], *, complete: bool
) -> Iterator[tuple[str, Finding]]:
    """Yield the findings of all analyses, the first of each before the second of each.

    Args:
        analyses: Those of results.json.
        drawn: Names of the figures that the page embeds.
        complete: Whether to yield those that have a figure and a number, or the others.
    """
    ranked = []
    for place, analysis in enumerate(analyses):
        suitable = [
            finding
            for finding in analysis["findings"]
            if complete == (finding["estimate"] is not None and finding["figure"] in drawn)
        ]
        suitable.sort(key=strength)
        ranked += [
            (rank, strength(finding), place, analysis["name"], finding)
            for rank, finding in enumerate(suitable[:MAX_OF_ANALYSIS])
        ]
    ranked.sort(key=lambda item: item[:3])
    yield from ((name, finding) for *_, name, finding in ranked)


def strength(finding: Finding) -> int:
    """Return 0 for a finding told from chance, 1 for an untested one with an interval, 3 for a null result, else 2."""
    estimate = finding["estimate"] or {}
    if is_null_result(finding):
        return 3
    if _p_value(estimate) is not None:
        return 0
    return 1 if estimate.get("low") is not None and estimate.get("high") is not None else 2


def is_null_result(finding: Finding) -> bool:
    """Whether a finding was tested and not told from chance."""
    p_value = _p_value(finding["estimate"] or {})
    return p_value is not None and p_value > SIGNIFICANT


def _p_value(estimate: Mapping[str, Any]) -> float | None:
    """Return the p-value of an estimate, adjusted if it has such a one; None if it was not tested."""
    return next((estimate[name] for name in ("q", "p") if estimate.get(name) is not None), None)


def story_view(
    analysis: Mapping[str, Any], finding: Finding, content: PageContent, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the template shows of a finding at the top: its sentence, figure, number and what it rests on.

    Args:
        analysis: The part of results.json that has the finding.
        finding: The finding.
        content: Tables and figures.
        run: results.json, whose options and dataset are those of the last run.
    """
    filled = filled_tables(analysis, content)
    entry = next((entry for entry in analysis["figures"] if entry["name"] == finding["figure"]), None)
    shown = entry is not None and entry["name"] in content.embedded
    basis = finding["basis"] or (entry["basis"] if entry else None)
    return {
        **finding_view(finding, filled),
        "analysis": analysis["name"],
        "title": analysis["title"],
        "day": analysis["made"][:10],
        "origin": origin_note(analysis, run),
        "estimate": estimate_view(finding["estimate"]),
        "basis": None if basis is None else format_sample_size(SampleSize(**basis)),
        "columns": finding["columns"],
        "figure": figure_view(entry, content, filled) if entry is not None and shown else None,
    }


def estimate_view(estimate: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a number in words: label, value, interval, test, and whether it is a null result; None without one."""
    if estimate is None:
        return None
    percent = estimate["percent"]
    low, high = estimate["low"], estimate["high"]
    interval = estimate["note"] or "no interval"
    if low is not None and high is not None:
        interval = f"95 % interval {_value(low, percent=percent)} to {_value(high, percent=percent)}"
        interval += f"; {estimate['note']}" if estimate["note"] else ""
    tests = [f"{name} = {estimate[name]:.2g}" for name in ("p", "q") if estimate[name] is not None]
    return {
        "label": estimate["label"],
        "value": _value(estimate["value"], percent=percent),
        "interval": interval,
        "test": ", ".join(tests),
        "null": is_null_result({"estimate": estimate}),
    }


def _value(value: float, *, percent: bool) -> str:
    if percent:
        share = 100 * value
        return f"{share:.0f} %" if abs(share) >= 10 or share == 0 else f"{share:.2g} %"
    if 0 < abs(value) < SMALLEST:
        return f"less than {SMALLEST}" if value > 0 else f"above -{SMALLEST}"
    if float(value).is_integer() and abs(value) < MANY:  # a count
        return f"{value:,.0f}"
    return number(float(f"{value:.{2 if abs(value) < 1 else 3}g}")) if abs(value) < 1e4 else number(value)
