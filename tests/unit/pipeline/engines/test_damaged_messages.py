"""A worker whose process is in pieces may send anything before it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import CheckpointError
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.processes.call import call_in_worker
from filtercrawl.pipeline.engines.processes.driver import ProcessDriver, ProcessRun
from filtercrawl.pipeline.engines.processes.limits import AttemptLimits
from filtercrawl.pipeline.engines.processes.messages import Call
from filtercrawl.pipeline.engines.processes.readers import ReadersInWorker
from filtercrawl.pipeline.engines.processes.server_handle import ForkServer, WorkerProcess
from filtercrawl.pipeline.engines.workers.attempt import Job
from filtercrawl.pipeline.engines.workers.budget import Budget
from filtercrawl.pipeline.engines.workers.messages import Started
from filtercrawl.pipeline.records import CrawlTask

LIMITS = AttemptLimits(memory=1 << 30, cpu_seconds=60, reading_seconds=10, stall_seconds=60)
DAMAGED = b"\x80\x05no pickle"


class DamagedWorkers(ForkServer):
    """Workers that say that they begin, and then send what cannot be read."""

    def __init__(self) -> None:
        self._ends: list[Any] = []

    def fork(self) -> WorkerProcess:
        ours, theirs = Pipe()
        theirs.send(Started())
        theirs.send_bytes(DAMAGED)
        self._ends.append(theirs)
        return WorkerProcess(number=len(self._ends), server=0, connection=ours)

    def kill(self, worker: WorkerProcess) -> None:
        worker.connection.close()

    def receive(self) -> None:
        pass


def nothing(readers: Sequence[Any]) -> Callable[[str], str]:
    return str


def returned(plugins: Any, argument: Any) -> Any:
    return argument


def test_a_run_that_is_cancelled_ends(tmp_path: Path) -> None:
    checkpoint = Checkpoint(name="net.pt", files=(RemoteFile(url="file:///zoo/net.pt", path="net.pt"),))
    task = CrawlTask(checkpoint=checkpoint, source="local", model_id="local/net", selector_id="s", action="new")
    run = ProcessRun(staging=tmp_path / "staging", jobs=1, limits=LIMITS, budget=Budget(None, None))
    driver = ProcessDriver(run, DamagedWorkers(), ContentIndex())
    job: Job[Any] = Job(task=task, files=set())
    driver.start(job)
    driver.close()
    assert (job.done, job.result) == (True, None)


def test_a_question_is_left_open() -> None:
    readers = ReadersInWorker(DamagedWorkers(), LIMITS.after(0), CancellationToken())
    assert list(readers.ask(nothing, ["a", "b"], lambda subject: f"no answer about {subject}")) == [
        "no answer about a", "no answer about b",
    ]  # fmt: skip


def test_a_call_fails_with_one_line() -> None:
    order = Call(function=returned, argument=None, limits=LIMITS.after(0), local=True)
    with pytest.raises(CheckpointError, match=r"^net\.pt: its process sent what cannot be read \(.*\)$"):
        call_in_worker(DamagedWorkers(), order, "net.pt")
