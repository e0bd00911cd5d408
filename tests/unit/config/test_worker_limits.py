"""Limits of workers: what is too small is refused in one line, and what threads do not keep is named."""

from __future__ import annotations

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings, resolve


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("memory_limit", "1M", "a size of 256M or more"),
        ("memory_limit", 2**28 - 1, "a size of 256M or more"),
        ("reading_limit", "0", "a duration of 1s or more"),
        ("reading_limit", "0.01s", "a duration of 1s or more"),
        ("cpu_limit", 0.5, "a duration of 1s or more"),
    ],
)
def test_a_limit_that_no_worker_could_keep_is_refused(name: str, value: object, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as refused:
        resolve({name: value})
    assert "\n" not in str(refused.value)


def test_the_least_limits_are_taken() -> None:
    settings = resolve({"memory_limit": "256M", "reading_limit": "1s", "cpu_limit": 1})
    assert (settings.memory_limit, settings.reading_limit, settings.cpu_limit) == (2**28, 1.0, 1.0)


def test_limits_that_threads_do_not_keep_are_named() -> None:
    limits = {"memory_limit": 2**30, "reading_limit": 5.0}
    assert Settings(engine="threads", **limits).limits_not_kept == ("--reading-limit", "--memory-limit")  # type: ignore[arg-type]
    assert Settings(engine="local", **limits).limits_not_kept == ()  # type: ignore[arg-type]
    assert Settings(engine="threads").limits_not_kept == ()
