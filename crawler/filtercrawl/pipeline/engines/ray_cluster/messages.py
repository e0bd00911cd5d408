"""What the driver gives to a worker, and what a worker yields while it crawls one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filtercrawl.config import NetworkSettings
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# Name of the file by which workers tell whether they see the dataset folder.
MARKER: Final = "marker"
# The fields of a log record.
LogRecordFields = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker process needs to crawl as the process of the run would; holds no secret.

    Attributes:
        run_id: Random; a process builds its crawler once a run.
        python_path: Folders in which the process of the run finds modules, for plugins that are not installed.
        entries: (name, module, group) of the entry points of all plugins.
        offers: Names of what the plugins offer in the process of the run, by kind; a worker must offer the same.
        versions: Versions of distributions on which the bytes of results depend.
        network: Mirrors, cache, and tokens by the names of environment variables. Without budgets, which the
            coordinator keeps; no cache stands for the default folder of the worker's machine.
        tokens: Environment variables that hold a token on the machine of the run.
        device: Where weights are converted and measured, `auto` for the best that the worker has.
        verify_all: Fetch every file in full whose SHA-256 is declared, and verify it.
        sharers: Workers that use up the rate limits of hosts together.
        has_budget: Whether each request has to be admitted by the coordinator.
        log_level: The lowest level of log records that are wanted.
        staging: Folder of the run in the dataset folder, where staged files go if the worker sees it.
        marker: Content of the file `MARKER` in that folder.
    """

    run_id: str
    python_path: tuple[str, ...]
    entries: tuple[tuple[str, str, str], ...]
    offers: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, str]
    network: NetworkSettings
    tokens: tuple[str, ...]
    device: str
    verify_all: bool
    sharers: int
    has_budget: bool
    log_level: int
    staging: Path
    marker: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """One attempt at one checkpoint.

    Attributes:
        task: What to crawl.
        attempt: Unique within the run; names the folder of staged files.
    """

    task: CrawlTask
    attempt: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """The worker is ready and begins to read; its death counts against the checkpoint from now on.

    Attributes:
        node: Id of the node.
    """

    node: str


@dataclass(frozen=True, kw_only=True)
class Update:
    """The work goes on.

    Attributes:
        logs: Log records since the last message.
        requests: Requests sent since the last message.
    """

    logs: Sequence[LogRecordFields] = ()
    requests: int = 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which checkpoint holds this content? The worker waits for the answer at the coordinator.

    Attributes:
        number: Of the question among those of the attempt; asked again under the same number if no answer comes.
        key: The content, which the worker will read if no checkpoint holds it.
    """

    number: int
    key: ContentKey


@dataclass(frozen=True, kw_only=True)
class FileChunk:
    """The next bytes of the staged file, from a worker that does not see the dataset folder.

    Attributes:
        data: The bytes.
    """

    data: bytes


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last message of a worker.

    Attributes:
        result: The result; None for a checkpoint that is left for the next run, or deferred.
        deferred: An earlier checkpoint reads the same content: try again when that one is finished.
        update: What there was to tell since the last message.
    """

    result: CrawlResult | None
    deferred: bool = False
    update: Update = Update()


Message = Started | Update | Question | FileChunk | Finished
