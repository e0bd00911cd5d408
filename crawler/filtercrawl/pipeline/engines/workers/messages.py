"""What the process of a run tells its workers about a checkpoint, and what they tell it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filtercrawl.config import NetworkSettings
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.records import CrawlResult, CrawlTask

# The fields of a log record.
LogRecordFields = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker process needs to crawl as the process of the run would; holds no secret.

    Attributes:
        entries: (name, module, group) of the entry points of all plugins.
        network: Mirrors, cache, and tokens by the names of environment variables, without budgets. No cache stands for
            the default folder of the worker's machine.
        device: Where weights are converted and measured, `auto` for the best that the worker has.
        verify_all: Fetch every file in full whose SHA-256 is declared, and verify it.
        sharers: Workers that use up the rate limits of hosts together.
        reading_seconds: CPU seconds that reading the structure of a small checkpoint may take, and then its weights.
        has_budget: Whether each request has to be admitted for all workers together.
        log_level: The lowest level of log records that are wanted.
        staging: Folder of the run in the dataset folder, where staged files go if the worker sees it.
    """

    entries: tuple[tuple[str, str, str], ...]
    network: NetworkSettings
    device: str
    verify_all: bool
    sharers: int
    reading_seconds: float
    has_budget: bool
    log_level: int
    staging: Path


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
        node: Id of the machine.
    """

    node: str = "localhost"


@dataclass(frozen=True, kw_only=True)
class Update:
    """The work goes on.

    Attributes:
        logs: Log records since the last message.
        requests: Requests sent since the last message.
        retries: Those of them that failed and were tried again.
    """

    logs: Sequence[LogRecordFields] = ()
    requests: int = 0
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which checkpoint holds this content? The worker waits for the answer.

    Attributes:
        number: Of the question among those of the attempt; asked again under the same number if no answer comes.
        key: The content, which the worker will read if no checkpoint holds it.
    """

    number: int
    key: ContentKey


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to a `Question`.

    Attributes:
        number: Of the question.
        owner: The checkpoint that holds the content; None if the worker has to read it.
        defer: Give the checkpoint up for now: an earlier one reads the content, or may be about to give it up.
    """

    number: int
    owner: str | None = None
    defer: bool = False


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last message of an attempt.

    Attributes:
        result: The result; None for a checkpoint that is left for the next run, or deferred.
        deferred: An earlier checkpoint reads the same content: try again when that one is finished.
        update: What there was to tell since the last message.
    """

    result: CrawlResult | None
    deferred: bool = False
    update: Update = Update()


Message = Started | Update | Question | Finished
