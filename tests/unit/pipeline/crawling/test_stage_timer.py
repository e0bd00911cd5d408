"""Seconds by stage."""

from __future__ import annotations

import time

from filtercrawl.pipeline.crawling.stage_timer import StageTimer


def test_time_in_an_inner_stage_does_not_count_for_the_outer_one() -> None:
    timer = StageTimer()
    with timer.stage("write"):
        with timer.stage("fetch"):
            time.sleep(0.05)
        with timer.stage("fetch"):
            time.sleep(0.05)
    assert list(timer.seconds) == ["write", "fetch"]
    assert timer.seconds["fetch"] >= 0.1
    assert timer.seconds["write"] < timer.seconds["fetch"]


def test_each_step_is_told() -> None:
    steps: list[str] = []
    timer = StageTimer(lambda: steps.append("step"))
    with timer.stage("write"), timer.stage("fetch"):
        steps.append("work")
    assert steps == ["step", "step", "work", "step", "step"]


def test_a_stage_that_raises_is_counted() -> None:
    timer = StageTimer()
    try:
        with timer.stage("header"):
            time.sleep(0.01)
            raise ValueError
    except ValueError:
        pass
    assert timer.seconds["header"] >= 0.01
