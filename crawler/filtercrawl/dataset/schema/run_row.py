"""Rows of `runs`: what each run of `sync` and `release` did and cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import pyarrow as pa

from filtercrawl.dataset.schema.column import TableRow, column, table_row

RunOutcome = Literal["finished", "stopped", "failed", "killed"]

# Stages of a run, one after the other; their seconds add up to those of the run.
RUN_STAGES: Final = ("other", "list", "plan", "crawl", "record", "tables")
# Stages of reading a checkpoint. Several are read at a time, so these may add up to more than the run took.
WORK_STAGES: Final = ("header", "extract", "wait", "fetch", "write", "commit")


def _count(description: str) -> Any:
    return column(pa.int64(), description, default=0, nullable=False)


def _seconds(description: str) -> Any:
    return column(pa.float64(), description, default=0.0, nullable=False)


@table_row
class RunRow(TableRow):
    """A run of `sync`, alone or as part of a release.

    Counts of checkpoints are those of `sync --json`. What was crawled is `new`, `changed`, `retry`, `renamed`,
    `duplicate` or `failed`, or `unchanged` after a look.
    """

    run: int = column(pa.int64(), "number of the run in this dataset")
    started: datetime = column(pa.timestamp("us", tz="UTC"), "when it started")
    outcome: RunOutcome | None = column(
        pa.string(),
        "finished, stopped (by a signal, with what had begun completed), failed (by an error) or killed; null while it "
        "goes on",
        default=None,
    )
    filtercrawl_version: str = column(pa.string(), "version that ran")
    discovered: int = _count("checkpoints that the sources offered, skipped ones included")
    new: int = _count("checkpoints that were crawled for the first time")
    changed: int = _count("checkpoints that were crawled since they had changed")
    retry: int = _count("checkpoints that were crawled after a failure, and could be read")
    unchanged: int = _count("checkpoints that were offered as they were")
    removed: int = _count("checkpoints that a source no longer offered")
    renamed: int = _count("checkpoints that were crawled and are known under another name")
    duplicate: int = _count("checkpoints that were crawled and have the content of another")
    failed: int = _count("checkpoints that were crawled and could not be read")
    new_failures: int = _count("of the failed ones, those that had not failed before")
    skipped: int = _count("checkpoints that were passed over, by license or by an opt-out for example")
    waiting: int = _count("checkpoints that failed before and were not due")
    ignored: int = _count("files that are no weights")
    left: int = _count("checkpoints that were left for the next run")
    incomplete_listings: int = _count("selectors whose listing broke off")
    layers: int = _count("layers written")
    kernels: int = _count("kernels written")
    bytes_fetched: int = _count("bytes of checkpoints that were fetched or read")
    bytes_offered: int = _count("size of the files of the crawled checkpoints")
    requests: int = _count("requests sent, retries and redirects included")
    checkpoint_requests: int = _count(
        "of the requests, those for the files of checkpoints that were crawled, without retries"
    )
    retries: int = _count("requests that failed and were tried again")
    seconds: float = _seconds("duration, the sum of the stages from `seconds_other` to `seconds_tables`")
    seconds_other: float = _seconds("opening the dataset, repairing what a killed run left, and all else")
    seconds_list: float = _seconds("listing the sources")
    seconds_plan: float = _seconds("deciding what to crawl")
    seconds_crawl: float = _seconds("crawling, from the first checkpoint to the last")
    seconds_record: float = _seconds("recording what the sources offered")
    seconds_tables: float | None = column(
        pa.float64(), "writing the tables; null in the tables that the run itself wrote, and where it wrote none",
        default=None,
    )  # fmt: skip
    work_seconds_header: float = _seconds("of all workers together: reading headers and structure")
    work_seconds_extract: float = _seconds("of all workers together: finding the convolutions")
    work_seconds_wait: float = _seconds("of all workers together: waiting for each other")
    work_seconds_fetch: float = _seconds("of all workers together: reading weights and converting them")
    work_seconds_write: float = _seconds("of all workers together: measuring and writing layers")
    work_seconds_commit: float = _seconds("writing results into the catalog")
    sources: str | None = column(
        pa.string(),
        "JSON: by source, counts of crawled and removed checkpoints, bytes and requests, which add up to the columns",
        default=None,
    )
