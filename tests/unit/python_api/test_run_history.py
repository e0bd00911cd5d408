"""When runs are said to get worse, and how often that is said by chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from filtercrawl.dataset.schema.run_row import RunRow
from filtercrawl.python_api.run_history import BEFORE, RECENT, SHOWN, RunHistory, find_worsening

NIGHTS = RECENT + BEFORE


def rows(seconds: Sequence[float], **columns: Any) -> list[RunRow]:
    """Finished runs that took so many seconds."""
    given = {"outcome": "finished", "filtercrawl_version": "1", "started": datetime(2026, 1, 1, tzinfo=UTC)} | columns
    return [RunRow(run=number, seconds=float(value), **given) for number, value in enumerate(seconds, 1)]


def share_reported(series: np.ndarray) -> float:
    """The share of the series, a row each, that are reported."""
    return float(np.mean([bool(find_worsening(rows(values))) for values in series]))


@pytest.mark.parametrize("spread", [0.1, 0.35, 1.0])
def test_what_does_not_change_is_hardly_ever_reported(spread: float) -> None:
    random = np.random.default_rng(7)
    assert share_reported(np.exp(spread * random.standard_normal((500, NIGHTS)))) <= 0.015


def test_nights_without_news_among_nights_with_some_are_no_change() -> None:
    random = np.random.default_rng(8)
    busy = random.random((500, NIGHTS)) < 0.3
    assert share_reported(np.where(busy, np.exp(2 + random.standard_normal((500, NIGHTS))), 1.0)) <= 0.02


def test_what_doubles_is_reported() -> None:
    random = np.random.default_rng(9)
    series = np.exp(0.3 * random.standard_normal((200, NIGHTS)))
    series[:, BEFORE:] *= 2
    assert share_reported(series) >= 0.75


def test_a_small_change_is_not_reported_however_sure() -> None:
    assert find_worsening(rows([100.0] * BEFORE + [120.0] * RECENT)) == []
    (found,) = find_worsening(rows([100.0] * BEFORE + [130.0] * RECENT)) or ()
    assert (found.figure, found.before, found.recent) == ("seconds", 100.0, 130.0)
    assert str(found) == "a run takes longer: 130.0 s in the median of the last 7, 100.0 s in that of the 28 before"


def test_only_finished_runs_count() -> None:
    good = rows([1.0] * NIGHTS)
    assert find_worsening(good[1:]) is None
    cut = rows([900.0] * 20, outcome="stopped")
    assert find_worsening([*good, *cut]) == []
    assert find_worsening([*good[1:], *cut]) is None


def test_the_last_runs_are_shown() -> None:
    history = RunHistory.of(rows([1.0] * (NIGHTS + 5)))
    text = str(history).splitlines()
    assert len(text) == 1 + SHOWN + 1
    assert text[-1] == "no figure is getting worse"
    assert text[-2].split() == [
        str(NIGHTS + 5),
        "2026-01-01",
        "00:00",
        "finished",
        "1.0",
        "s",
        *["0", "B", "0", "0", "0", "0", "0"],
    ]
    assert len(json.loads(json.dumps(history.to_dict(), default=str))["runs"]) == SHOWN
    assert str(RunHistory.of(())) == "no run is recorded yet"
    assert str(RunHistory.of(rows([1.0]))).endswith("a trend takes 35 finished runs")
