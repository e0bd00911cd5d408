"""Engines of `analyze`: the same values and bytes wherever they are computed, also if processes are killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import Cancelled, EngineError, UsageError
from filtercrawl.config import Settings
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_analysis.analyses.registry import ANALYSES
from filtercrawl_analysis.engines import processes
from filtercrawl_analysis.engines.processes import ProcessEngine
from filtercrawl_analysis.run.execute import execute
from support.engines import files
from support.mapped_functions import (
    Unsendable,
    die,
    die_once,
    fail_at_three,
    number_of,
    print_and_sleep,
    process_of,
    squares,
)
from support.synthetic_datasets import EDGES, SMOOTH, net, plant

JOBS = 2


@pytest.fixture
def cancellation() -> CancellationToken:
    return CancellationToken()


@pytest.fixture
def engine(cancellation: CancellationToken) -> Iterator[ProcessEngine]:
    """Two processes, which start at once."""
    with closing(ProcessEngine(JOBS, cancellation, worth_seconds=0)) as started:
        yield started


def test_values_come_in_order_from_processes_that_are_few_items_ahead(engine: ProcessEngine) -> None:
    taken: list[int] = []
    seen: list[tuple[int, int]] = []
    for value in engine.map(process_of, (taken.append(item) or item for item in range(1, 41))):
        seen.append(value)
        assert len(taken) - len(seen) < 2 * JOBS
    assert [item for item, _ in seen] == list(range(1, 41))
    assert len({process for _, process in seen} - {os.getpid()}) == JOBS
    assert [value for value, _ in engine.map(process_of, [7, 8])] == [7, 8]


def test_little_work_starts_no_process(cancellation: CancellationToken) -> None:
    with closing(ProcessEngine(JOBS, cancellation)) as engine:
        assert {process for _, process in engine.map(process_of, range(4))} == {os.getpid()}


def test_an_error_of_an_item_is_raised_at_its_place(engine: ProcessEngine) -> None:
    found = engine.map(fail_at_three, range(6))
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(found)


def test_what_other_processes_do_not_know_is_computed_in_this_one(engine: ProcessEngine) -> None:
    assert list(engine.map(lambda item: (item, os.getpid()), [1, 2])) == [(1, os.getpid()), (2, os.getpid())]


def test_what_cannot_be_sent_is_computed_in_this_process(engine: ProcessEngine) -> None:
    assert [list(found) for found in engine.map(squares, [2, 3])] == [[0, 1], [0, 1, 4]]
    assert list(engine.map(number_of, [Unsendable(1), Unsendable(2)])) == [1, 2]


def test_a_function_of_the_script_is_not_taken_for_one_of_the_process(
    engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(item: int) -> int:
        return item + 1

    main.__module__, main.__qualname__ = "__main__", "main"
    monkeypatch.setattr(sys.modules["__main__"], "main", main, raising=False)
    assert list(engine.map(main, [1, 2])) == [2, 3]


def test_what_a_function_prints_does_not_get_between_answers(engine: ProcessEngine) -> None:
    assert list(engine.map(print_and_sleep, [0.0, 0.01, 0.0])) == [0.0, 0.01, 0.0]


def test_an_item_whose_process_is_killed_is_computed_again(engine: ProcessEngine, tmp_path: Path) -> None:
    markers = [tmp_path / str(number) for number in range(4)]
    assert list(engine.map(die_once, markers)) == ["0", "1", "2", "3"]


def test_a_process_that_was_killed_between_items_is_replaced(engine: ProcessEngine) -> None:
    before = {process for _, process in engine.map(process_of, range(1, 8))}
    for process in before:
        os.kill(process, signal.SIGKILL)
    time.sleep(0.2)
    assert {process for _, process in engine.map(process_of, range(1, 8))}.isdisjoint(before)


def test_an_item_that_kills_every_process_ends_the_run(engine: ProcessEngine) -> None:
    with pytest.raises(EngineError, match="3 times in a row"):
        list(engine.map(die, [1]))


def test_cancelling_ends_the_wait_and_closing_ends_the_processes(
    engine: ProcessEngine, cancellation: CancellationToken
) -> None:
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        list(engine.map(print_and_sleep, [600.0]))
    engine.close()


def test_closing_waits_for_no_item(engine: ProcessEngine) -> None:
    found = engine.map(print_and_sleep, [0.1, 30.0, 30.0])
    next(found)
    before = time.monotonic()
    engine.close()
    assert time.monotonic() - before < 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of two families."""
    nets = [net(f"n{seed}", SMOOTH if seed % 2 else EDGES, seed, family=("fx", "fy")[seed % 2]) for seed in range(4)]
    return plant(tmp_path_factory.mktemp("engines") / "dataset", nets)


def results(dataset: Path, **settings: Any) -> dict[str, bytes]:
    """Return tables and figures of an analysis that finds no results of earlier ones."""
    shutil.rmtree(dataset / HIDDEN / "results", ignore_errors=True)
    shutil.rmtree(dataset / "analysis", ignore_errors=True)
    options = AnalysisOptions(by=("family",), resamples=50)
    analyses = [analysis for analysis in ANALYSES if analysis.name in ("drift", "initialization")]
    report = execute(analyses, Settings(dataset=dataset, **settings), options)
    assert not report.left_out
    return files(dataset / "analysis/tables") | files(dataset / "analysis/figures")


@pytest.fixture(scope="module")
def expected(dataset: Path) -> dict[str, bytes]:
    """The files of an analysis in one process."""
    return results(dataset, jobs=1)


def test_processes_give_the_same_bytes(
    dataset: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    start = processes._start
    monkeypatch.setattr(processes, "_start", lambda: started.append(1) or start())
    monkeypatch.setattr(processes, "WORTH_SECONDS", 0.0)
    assert results(dataset, jobs=JOBS) == expected
    assert len(started) == JOBS


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_ray_gives_the_same_bytes(dataset: Path, expected: dict[str, bytes], cluster: Any) -> None:
    assert results(dataset, engine="ray", ray_address=cluster.address) == expected


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_on_ray_a_killed_process_is_replaced_and_errors_keep_their_place(
    cluster: Any, cancellation: CancellationToken, tmp_path: Path
) -> None:
    from filtercrawl_analysis.engines.ray_tasks import RayEngine

    with closing(RayEngine(cluster.address, cancellation)) as engine:
        markers = [tmp_path / str(number) for number in range(3)]
        assert list(engine.map(die_once, markers)) == ["0", "1", "2"]
        with pytest.raises(ValueError, match="three"):
            list(engine.map(fail_at_three, range(6)))
        with pytest.raises(EngineError, match=r"^a task of `analyze` failed: its process was killed or crashed$"):
            list(engine.map(die, [1]))
        assert list(engine.map(lambda item: item, [1])) == [1]


def test_an_engine_that_is_not_there_is_named(dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"Ray Client|pip install 'filtercrawl\[ray\]'"):
        results(dataset, engine="ray", ray_address="ray://here:1")
