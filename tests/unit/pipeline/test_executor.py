"""Carrying out a plan: which tasks start, what runs at the same time, and what is committed in which order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import Cancelled
from filtercrawl.api.progress import NullProgress
from filtercrawl.config import Settings
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import n_crawled
from filtercrawl.pipeline.engines.threads import ThreadEngine
from filtercrawl.pipeline.executor import PlanExecutor
from filtercrawl.pipeline.records import OUT_OF_MEMORY, CommitOutcome, CrawlResult, CrawlTask
from filtercrawl.pipeline.report import SyncReport

KEY = ("a" * 64, "", "spatial")
NAMES = tuple("abcdefghij")
# A test that fails in a thread ends then, not after the timeout of the suite.
SECONDS = 20

pytestmark = pytest.mark.timeout(SECONDS)


@dataclass
class ScriptedCrawler:
    """Stands in for `Crawler`: returns at once what `crawl_one` makes of a task."""

    crawl_one: Callable[[CrawlTask], CrawlResult] = lambda task: CrawlResult(task=task)
    index: ContentIndex = field(default_factory=ContentIndex)
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    crawled: list[str] = field(default_factory=list)

    def crawl(self, task: CrawlTask) -> CrawlResult:
        self.crawled.append(task.checkpoint.name)
        return self.crawl_one(task)


@dataclass
class ScriptedWriter:
    """Stands in for `CatalogWriter`: keeps what it is given, and returns what `commit_one` says."""

    commit_one: Callable[[CrawlResult], CommitOutcome] = lambda result: "failed" if result.error else "emitted"
    given: list[CrawlResult] = field(default_factory=list)
    duplicates: frozenset[str] = frozenset()

    def became_duplicate(self, model_id: str) -> bool:
        return model_id in self.duplicates

    def commit(self, result: CrawlResult) -> CommitOutcome:
        self.given.append(result)
        return self.commit_one(result)

    @property
    def names(self) -> list[str]:
        return [result.task.checkpoint.name for result in self.given]


@dataclass
class FullLayerStore:
    """A store whose calls of `free_space` leave these bytes in the folder, one after the other."""

    left: list[int]

    def contains(self, path: str) -> bool:
        return True

    def fetch(self, path: str) -> None:
        pass

    def can_fetch(self, path: str) -> bool:
        return True

    def added(self, path: str) -> None:
        pass

    def free_space(self) -> int:
        return self.left.pop(0)


class RecordedProgress(NullProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def message(self, line: str) -> None:
        self.told.append(("message", line))

    def start(self, total: int) -> None:
        self.told.append(("start", total))

    def done(self, model_id: str, what: str) -> None:
        self.told.append(("done", model_id, what))


def task(name: str, *files: RemoteFile) -> CrawlTask:
    offered = Checkpoint(name=name, files=files or (RemoteFile(url=f"https://lab.example/{name}"),))
    return CrawlTask(checkpoint=offered, source="lab", model_id=f"lab/{name}", selector_id="s", action="new")


def tasks(names: Iterable[str] = NAMES, scheme: str = "https://lab.example") -> list[CrawlTask]:
    return [task(name, RemoteFile(url=f"{scheme}/{name}")) for name in names]


def ten_bytes(staged: Path | None) -> StagedLayers:
    return StagedLayers(staged=staged, path="data/layers/x.parquet", size=10, sha256="x", rows=(), samples=())


def execute(
    planned: Sequence[CrawlTask],
    crawler: ScriptedCrawler,
    writer: ScriptedWriter,
    settings: Mapping[str, Any] | None = None,
    report: SyncReport | None = None,
    **others: Any,
) -> SyncReport:
    """Carry out a plan with the engine `threads` and one job, unless the settings say otherwise."""
    report = report or SyncReport(n_left=len(planned))
    chosen = Settings(**{"jobs": 1, **(settings or {})})
    stand_in: Any = crawler
    collaborators: dict[str, Any] = {
        "engine": ThreadEngine(crawler=stand_in, index=crawler.index, jobs=chosen.jobs),
        "cancellation": crawler.cancellation, "writer": writer, "layer_store": FullLayerStore([]),
        "progress": NullProgress(), **others,
    }  # fmt: skip
    PlanExecutor(**collaborators, settings=chosen).execute(planned, report)
    return report


def cancelling_writer(crawler: ScriptedCrawler) -> ScriptedWriter:
    """A writer that cancels the run at the first commit: what has been started by then is all that is committed."""

    def cancel(result: CrawlResult) -> CommitOutcome:
        crawler.cancellation.cancel()
        return "emitted"

    return ScriptedWriter(cancel)


def test_results_are_committed_in_the_order_of_the_plan() -> None:
    last_is_crawled = threading.Event()

    def crawl(task: CrawlTask) -> CrawlResult:
        if task.checkpoint.name == "d":
            last_is_crawled.set()
        else:
            assert last_is_crawled.wait(SECONDS / 2)
        return CrawlResult(task=task)

    writer = ScriptedWriter()
    report = execute(tasks("abcd"), ScriptedCrawler(crawl), writer)
    assert writer.names == ["a", "b", "c", "d"]
    assert (report.checkpoints["new"], report.n_left) == (4, 0)


def test_a_checkpoint_whose_weights_a_later_one_took_over_counts_as_duplicate() -> None:
    given = tasks("abc")
    writer = ScriptedWriter(duplicates=frozenset({given[1].model_id}))
    report = execute(given, ScriptedCrawler(lambda task: CrawlResult(task=task)), writer)
    assert (report.checkpoints["new"], report.checkpoints["duplicate"]) == (2, 1)


def test_as_many_remote_checkpoints_as_may_be_fetched_are_crawled_at_once() -> None:
    all_at_once = threading.Barrier(n_crawled(jobs=1))

    def crawl(task: CrawlTask) -> CrawlResult:
        all_at_once.wait(SECONDS / 2)
        return CrawlResult(task=task)

    writer = ScriptedWriter()
    execute(tasks(NAMES[: all_at_once.parties]), ScriptedCrawler(crawl), writer)
    assert len(writer.given) == all_at_once.parties


@pytest.mark.parametrize(
    ("scheme", "jobs", "n_started"),
    [
        ("https://lab.example", 1, n_crawled(1)),
        ("https://lab.example", 3, n_crawled(3)),
        ("file:///zoo", 1, 2),  # a local file is not fetched: only the next one may be opened meanwhile
        ("file:///zoo", 3, 4),
    ],
)
def test_a_cancelled_run_finishes_what_it_has_started(scheme: str, jobs: int, n_started: int) -> None:
    crawler = ScriptedCrawler()
    writer = cancelling_writer(crawler)
    report = execute(tasks(scheme=scheme), crawler, writer, {"jobs": jobs})
    assert writer.names == list(NAMES[:n_started])
    assert report.n_left == len(NAMES) - n_started


def test_a_run_that_is_cancelled_before_it_begins_crawls_nothing() -> None:
    crawler, writer, progress = ScriptedCrawler(), ScriptedWriter(), RecordedProgress()
    crawler.cancellation.cancel()
    execute(tasks(), crawler, writer, progress=progress)
    assert (crawler.crawled, writer.given, progress.told) == ([], [], [("start", len(NAMES))])


def test_a_checkpoint_whose_crawl_is_cancelled_is_left_for_the_next_run() -> None:
    def crawl(task: CrawlTask) -> CrawlResult:
        if task.checkpoint.name == "b":
            raise Cancelled
        return CrawlResult(task=task)

    writer = ScriptedWriter()
    report = execute(tasks("abc"), ScriptedCrawler(crawl), writer)
    assert (writer.names, report.n_left) == (["a", "c"], 1)


def test_no_task_starts_when_the_bytes_of_the_run_are_used_up() -> None:
    crawler, writer = ScriptedCrawler(lambda task: CrawlResult(task=task, bytes_fetched=10)), ScriptedWriter()
    execute(tasks(scheme="file:///zoo"), crawler, writer, {"max_bytes": 20})
    assert writer.names == ["a", "b", "c"]  # c was started when a was committed


def test_no_task_starts_after_the_time_limit() -> None:
    crawler, writer = ScriptedCrawler(), ScriptedWriter()
    execute(tasks(), crawler, writer, deadline=time.monotonic())
    assert writer.given == []


def test_a_full_disk_ends_the_run_unless_layers_files_can_be_moved() -> None:
    def crawl(task: CrawlTask) -> CrawlResult:
        return CrawlResult(task=task, layers=ten_bytes(None))

    moved, stuck = ScriptedWriter(), ScriptedWriter()
    settings = {"max_disk": 10}
    report = execute(
        tasks("abcd", "file:///zoo"), ScriptedCrawler(crawl), moved, settings, layer_store=FullLayerStore([0, 1, 2, 3])
    )
    assert (moved.names, report.bytes_on_disk) == (["a", "b", "c", "d"], 3)
    report = execute(
        tasks("abcd", "file:///zoo"), ScriptedCrawler(crawl), stuck, settings, layer_store=FullLayerStore([10, 20])
    )
    assert (stuck.names, report.bytes_on_disk) == (["a", "b"], 20)


def test_space_is_freed_before_the_first_task() -> None:
    writer, report = ScriptedWriter(), SyncReport(bytes_on_disk=10)
    execute(tasks("a"), ScriptedCrawler(), writer, {"max_disk": 10}, report, layer_store=FullLayerStore([5]))
    assert (writer.names, report.bytes_on_disk) == (["a"], 5)


SHARED = RemoteFile(url="https://lab.example/shared", sha256="a" * 64)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (SHARED, RemoteFile(url=SHARED.url), False),
        (SHARED, RemoteFile(url="https://mirror.example/shared", sha256=SHARED.sha256), False),
        (SHARED, RemoteFile(url="https://lab.example/other", sha256="b" * 64), True),
        (RemoteFile(url="https://lab.example/1"), RemoteFile(url="https://lab.example/2"), True),
    ],
)
def test_two_tasks_that_share_a_file_do_not_run_at_once(first: RemoteFile, second: RemoteFile, together: bool) -> None:
    own = RemoteFile(url="https://lab.example/own")
    planned = [task("a", first), task("b", own, second), task("c")]
    crawler = ScriptedCrawler()
    writer = cancelling_writer(crawler)
    execute(planned, crawler, writer)
    assert writer.names == (["a", "b", "c"] if together else ["a"])


def test_a_task_that_shares_a_file_starts_when_the_other_is_committed() -> None:
    events: list[str] = []

    def crawl(task: CrawlTask) -> CrawlResult:
        events.append(f"crawl {task.checkpoint.name}")
        return CrawlResult(task=task)

    def commit(result: CrawlResult) -> CommitOutcome:
        events.append(f"commit {result.task.checkpoint.name}")
        return "emitted"

    execute([task("a", SHARED), task("b", SHARED)], ScriptedCrawler(crawl), ScriptedWriter(commit))
    assert events == ["crawl a", "commit a", "crawl b", "commit b"]


def test_a_checkpoint_is_read_itself_where_the_weights_of_its_duplicate_are_lost() -> None:
    def crawl(task: CrawlTask) -> CrawlResult:
        is_second_time = crawler.crawled.count(task.checkpoint.name) > 1
        return CrawlResult(task=task, duplicate_of=None if is_second_time else "lab/lost", bytes_fetched=7)

    def commit(result: CrawlResult) -> CommitOutcome:
        return "must_recrawl" if result.duplicate_of is not None else "emitted"

    crawler, writer, progress = ScriptedCrawler(crawl), ScriptedWriter(commit), RecordedProgress()
    report = execute(tasks("a"), crawler, writer, progress=progress)
    assert [result.duplicate_of for result in writer.given] == ["lab/lost", None]
    assert (report.checkpoints["new"], report.bytes_fetched) == (1, 7)
    assert progress.told == [("start", 1), ("done", "lab/a", "emitted")]


def test_a_run_that_is_cancelled_while_a_checkpoint_is_read_again_ends_quietly() -> None:
    def crawl(task: CrawlTask) -> CrawlResult:
        if crawler.crawled.count(task.checkpoint.name) > 1:
            raise Cancelled
        return CrawlResult(task=task, duplicate_of="lab/lost")

    crawler, writer = ScriptedCrawler(crawl), ScriptedWriter(lambda _: "must_recrawl")
    report = execute(tasks("ab"), crawler, writer)
    assert (writer.names, report.n_left) == (["a"], 2)


def test_a_commit_without_memory_fails_its_checkpoint_alone(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in "ab"}
    for file in files.values():
        file.write_bytes(bytes(10))

    def commit(result: CrawlResult) -> CommitOutcome:
        if result.error is None and result.task.checkpoint.name == "a":
            raise MemoryError
        return "failed" if result.error else "emitted"

    crawler = ScriptedCrawler(lambda task: CrawlResult(task=task, layers=ten_bytes(files[task.checkpoint.name])))
    writer, progress = ScriptedWriter(commit), RecordedProgress()
    report = execute(tasks("ab"), crawler, writer, progress=progress)
    assert [(result.task.checkpoint.name, result.error) for result in writer.given] == [
        ("a", None), ("a", OUT_OF_MEMORY), ("b", None)
    ]  # fmt: skip
    assert report.failures == {"lab/a": OUT_OF_MEMORY}
    assert progress.told[1:] == [("done", "lab/a", OUT_OF_MEMORY), ("done", "lab/b", "emitted")]
    assert [name for name, file in files.items() if file.exists()] == ["b"]


def test_progress_is_told_why_a_structure_is_not_known() -> None:
    progress = RecordedProgress()
    crawler = ScriptedCrawler(lambda task: CrawlResult(task=task, structure_error="no such network"))
    execute(tasks("a"), crawler, ScriptedWriter(), progress=progress)
    assert progress.told[1:] == [
        ("message", "lab/a: no structure from its graph: no such network"),
        ("done", "lab/a", "emitted"),
    ]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_finished_task_lets_those_go_on_that_wait_for_its_content(is_cancelled: bool) -> None:
    planned = tasks("ab")
    index = ContentIndex(tasks=[task.model_id for task in planned])
    a_has_claimed = threading.Event()

    def crawl(task: CrawlTask) -> CrawlResult:
        if task.checkpoint.name == "b":
            assert a_has_claimed.wait(SECONDS / 2)
        owner = index.claim(KEY, task.model_id)
        a_has_claimed.set()
        if is_cancelled and task.checkpoint.name == "a":
            raise Cancelled
        return CrawlResult(task=task, duplicate_of=owner)

    def commit(result: CrawlResult) -> CommitOutcome:
        index.add(KEY, result.task.model_id)
        return "emitted"

    writer = ScriptedWriter(commit)
    execute(planned, ScriptedCrawler(crawl, index), writer)
    found = {result.task.checkpoint.name: result.duplicate_of for result in writer.given}
    assert found == ({"b": None} if is_cancelled else {"a": None, "b": "lab/a"})


def test_an_error_in_a_commit_ends_the_workers_that_wait() -> None:
    planned = tasks("abc")
    index = ContentIndex(tasks=[task.model_id for task in planned])
    b_has_claimed, c_has_begun = threading.Event(), threading.Event()

    def crawl(task: CrawlTask) -> CrawlResult:
        if task.checkpoint.name == "b":
            index.claim(KEY, task.model_id)
            b_has_claimed.set()
        if task.checkpoint.name == "c":
            c_has_begun.set()
            assert b_has_claimed.wait(SECONDS / 2)
            index.claim(KEY, task.model_id)  # waits for b, which is never committed
        return CrawlResult(task=task)

    def commit(result: CrawlResult) -> CommitOutcome:
        assert c_has_begun.wait(SECONDS / 2)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        execute(planned, ScriptedCrawler(crawl, index), ScriptedWriter(commit))
