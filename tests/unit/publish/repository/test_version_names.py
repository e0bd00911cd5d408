"""Names of versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import UsageError
from filtercrawl_publish.repository.version_names import current, latest, next_version, sort_versions, validate_version

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], "v2026.11.23"),
        (["v2026.11.22.7", "stable", "v1.0"], "v2026.11.23"),
        (["v2026.11.23"], "v2026.11.23.1"),
        (["v2026.11.23.9", "v2026.11.23.10", "v2026.11.23"], "v2026.11.23.11"),
        (["v2026.11.24"], "v2026.11.24.1"),  # the clock went back
    ],
)
def test_next(tags: list[str], expected: str) -> None:
    assert next_version(tags, NOON) == expected


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert next_version([], late) == "v2026.11.23"


@given(st.lists(st.datetimes(min_value=datetime(1000, 1, 1)), max_size=30))
def test_every_version_is_new_and_the_latest(moments: list[datetime]) -> None:
    tags: list[str] = ["v3", "latest"]
    for moment in moments:
        tags.append(next_version(tags, moment.replace(tzinfo=UTC)))
        assert latest(reversed(tags)) == tags[-1]
        assert validate_version(tags[-1]) == tags[-1]
    assert sort_versions(sorted(tags)) == tags[2:]


@pytest.mark.parametrize(
    "version", ["", "main", "unreleased", "a b", "v1/2", "../x", "-v", "v1..2", "v1.lock", "v" * 200, "v1\n"]
)
def test_what_cannot_be_a_tag(version: str) -> None:
    with pytest.raises(UsageError, match="cannot be a version"):
        validate_version(version)


def test_the_current_version_is_that_of_the_head() -> None:
    tags = {"v2026.11.23.2": "old", "v2026.11.23.10": "new", "paper": "new", "draft": "third"}
    assert current("new", tags) == current("untagged", tags) == current(None, tags) == "v2026.11.23.10"
    assert current("old", tags) == "v2026.11.23.2"
    assert current("third", tags) == "draft"
    assert current("new", {}) is None
