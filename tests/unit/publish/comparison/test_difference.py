"""A difference as text: one line per change, untrusted text escaped."""

from __future__ import annotations

import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from filtercrawl_publish.comparison.changelog import MAX_SECTIONS, render_changelog
from filtercrawl_publish.comparison.difference import Difference, LayerChurn
from filtercrawl_publish.comparison.statistics import StatisticsShift


def difference(**changes: Any) -> Difference:
    before = {"name": "v1", "models": 1, "layers": 2, "kernels": 1000}
    return Difference(before=before, after={"name": "v2", "models": 3, "layers": 2, "kernels": 12}, **changes)


def lines(**changes: Any) -> list[str]:
    return difference(**changes).as_markdown(str).splitlines()


def test_counts_and_their_changes() -> None:
    assert difference().summary() == "3 models (+2), 2 layers (+0), 12 kernels (-988)"


def test_no_change() -> None:
    assert not difference()
    assert lines() == []
    assert str(difference()).endswith("\nno difference")


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        (
            {"n_kernels": 1, "n_layers": 1, "license": "MIT", "duplicate_of": None},
            "1 kernel in 1 layer, license MIT",
        ),
        (
            {"n_kernels": 1200, "n_layers": 3, "license": "MIT", "duplicate_of": None},
            "1,200 kernels in 3 layers, license MIT",
        ),
        (
            {"n_kernels": None, "n_layers": None, "license": None, "duplicate_of": None},
            "0 kernels in 0 layers, license unknown",
        ),
        ({"n_kernels": 9, "n_layers": 3, "license": "MIT", "duplicate_of": "a/b"}, "a duplicate of a/b"),
    ],
)
def test_new_checkpoints(row: dict[str, Any], detail: str) -> None:
    assert lines(new=[{"model_id": "a/c"} | row]) == ["- 1 new", f"  - a/c: {detail}"]


@pytest.mark.parametrize(
    ("kind", "row", "title", "detail"),
    [
        ("changed", {"layers_added": 2, "layers_removed": 1}, "changed", ": 2 layers added, 1 layer removed"),
        ("changed", {"layers_added": 0, "layers_removed": 0}, "changed", ": another file with the same layers"),
        ("gone", {"reason": "not offered"}, "gone", ": not offered"),
        ("gone", {"reason": None}, "gone", ""),
        ("withdrawn", {"reason": "a request"}, "withdrawn", ": a request"),
        ("renamed", {"old_name": "x", "new_name": "y"}, "renamed", ": x is now y"),
        ("merged", {"duplicate_of": "a/b"}, "merged as duplicates", ": of a/b"),
        ("promoted", {"was_duplicate_of": "a/b"}, "promoted", ": was a duplicate of a/b"),
        ("failed", {"reason": "HTTP 500"}, "failed", ": HTTP 500"),
        ("licenses", {"from": None, "to": "MIT"}, "under another license", ": unknown, now MIT"),
    ],
)
def test_other_kinds_of_changes(kind: str, row: dict[str, Any], title: str, detail: str) -> None:
    assert lines(**{kind: [{"model_id": "a/c"} | row]}) == [f"- 1 {title}", f"  - a/c{detail}"]


def test_long_lists_are_counted() -> None:
    rows = [{"model_id": str(number), "reason": None} for number in range(1234)]
    result = lines(gone=rows)
    assert (result[0], result[1], result[-1], len(result)) == ("- 1,234 gone", "  - 0", "  - and 1,224 more", 12)


def test_metadata_kernels_and_columns() -> None:
    metadata = {"family": {"changed": 2, "examples": []}, "task": {"changed": 1000, "examples": []}}
    kernels = {"3x3": LayerChurn(1, 2, 10, 20), "5x5": LayerChurn(0, 1, 0, 4000)}
    columns = {"index": {"added": ["a", "b"], "removed": []}, "models": {"added": [], "removed": ["c"]}}
    assert lines(metadata=metadata, kernels=kernels, columns=columns) == [
        "- metadata changed: family of 2, task of 1,000",
        "- 3x3: 10 kernels in 1 layer added, 20 kernels in 2 layers removed",
        "- 5x5: 4,000 kernels in 1 layer removed",
        "- columns added in `index`: a, b",
        "- columns removed in `models`: c",
    ]


def test_statistics() -> None:
    shift = StatisticsShift(
        before=[0.5, 0.3, *[0.2 / 7] * 7],
        after=[0.4, 0.4, *[0.2 / 7] * 7],
        drift=0.01234,
        kernels=(1000, 2000),
        layers=(1, 2),
        n_missing=(0, 0),
    )
    assert lines(statistics=shift) == [
        "- trained 3x3 kernels drifted by 0.0123 (D, from 1,000 to 2,000)",
        f"- explained variance moved most at component {shift.max_share_component + 1}: "  # type: ignore[operator]
        + ("50.00 % to 40.00 %" if shift.max_share_component == 0 else "30.00 % to 40.00 %"),
    ]


def test_text_from_outside_is_no_markup() -> None:
    evil = "x](javascript:alert(1))<img src=x>\n## v9"
    text = render_changelog(evil, difference(gone=[{"model_id": evil, "reason": evil}]))
    assert not {"<a", "<img"} & set(re.findall("<[a-z]+", MarkdownIt("commonmark").render(text)))
    assert text.count("\n## ") == 1


def test_changelog_keeps_earlier_sections() -> None:
    first = render_changelog("v1", difference(gone=[{"model_id": "a", "reason": None}]))
    assert first.startswith("# Changes\n\nWhat changed")
    assert first.endswith(f"## v1\n\n{difference().summary()}\n\n- 1 gone\n  - a\n")
    second = render_changelog("v2", difference(), first)
    assert second.endswith(first[first.index("## v1") :])
    assert "- only metadata about the version itself\n\n## v1" in second
    text = second
    for number in range(3, MAX_SECTIONS + 10):
        text = render_changelog(f"v{number}", difference(), text)
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert (len(titles), titles[0]) == (MAX_SECTIONS, f"## v{MAX_SECTIONS + 9}")
