"""What an attempt may use, and how that grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.pipeline.engines.ray_cluster.limits import MAX_RETRIES, describe_failures, estimate_memory, limits_of
from filtercrawl.pipeline.records import CrawlTask

MIB = 1024**2


def task(*sizes: int | None) -> CrawlTask:
    files = tuple(RemoteFile(url=f"https://lab.example/{n}", size=size) for n, size in enumerate(sizes))
    return CrawlTask(
        checkpoint=Checkpoint(name="net", files=files), source="lab", model_id="lab/net", selector_id="s", action="new"
    )


def test_each_failure_doubles_memory_and_time_and_the_last_attempt_is_alone() -> None:
    first, *others = (limits_of(task(10 * MIB), n, 60.0) for n in range(MAX_RETRIES + 1))
    assert (first.alone, first.stall_seconds) == (False, 60.0)
    assert [(other.memory // first.memory, other.stall_seconds) for other in others] == [(2, 120.0), (4, 240.0)]
    assert [other.alone for other in others] == [False, True]


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=5), st.integers(0, 10**12))
def test_more_bytes_never_need_less_memory(sizes: list[int], more: int) -> None:
    assert estimate_memory(task(*sizes)) <= estimate_memory(task(*sizes, more)) <= 1792 * MIB


def test_the_memory_of_files_of_unknown_size_is_that_of_large_ones() -> None:
    assert estimate_memory(task(None)) == estimate_memory(task(10**12)) == 1792 * MIB
    assert estimate_memory(task(1)) == 1024 * MIB


def test_a_failure_names_each_reason_once() -> None:
    assert describe_failures(["killed", "killed", "hung"]) == (
        "not read in 3 attempts, the last one alone on a machine: killed; hung"
    )
