"""Which name a version gets, and when a clock is not trusted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.lock import locked
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.publishing.staging import pending_version
from filtercrawl_publish.publishing.version_choice import check_clock, choose_version
from filtercrawl_publish.repository.folder import FolderRepository

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("last", ["v2026.11.23.2", "v2026.11.24", "v2020.01.01", "v2029.13.45", "paper"])
def test_a_folder_trusts_a_clock_that_is_not_behind_the_last_version(tmp_path: Path, last: str) -> None:
    check_clock(FolderRepository(str(tmp_path / "out")), [last], NOON)


@pytest.mark.parametrize("last", ["v2026.11.25", "v2029.05.17.3"])
def test_names_do_not_go_on_from_a_later_day(tmp_path: Path, last: str) -> None:
    repository = FolderRepository(str(tmp_path / "out"))
    with pytest.raises(PolicyError, match=rf"{last}, has a later date than today, 2026-11-23.*set it.*rollback"):
        check_clock(repository, ["v2026.11.22", last], NOON)


@pytest.mark.parametrize(("today", "right"), [([], "v2026.11.23"), (["v2026.11.23", "v2026.11.23.1"], "v2026.11.23.2")])
def test_the_right_name_of_a_wrong_day_is_free(tmp_path: Path, today: list[str], right: str) -> None:
    repository = FolderRepository(str(tmp_path / "out"))
    with pytest.raises(PolicyError, match=rf"rollback .* v2029\.05\.17 --version {re.escape(right)}`"):
        check_clock(repository, [*today, "v2029.05.17"], NOON)


@pytest.mark.parametrize(
    ("pending", "expected"),
    [
        ("v2026.11.22", "v2026.11.22"),
        ("paper", "paper"),
        ("v2029.05.17", "v2026.11.23"),
        ("v2020.01.01", "v2026.11.23"),
        ("v2026.11.21", "v2026.11.23"),
        ("v2026.11.20.1", "v2026.11.23"),
    ],
)
def test_an_interrupted_run_keeps_its_name_unless_it_is_of_another_day(
    tmp_path: Path, pending: str, expected: str
) -> None:
    with locked(tmp_path / "dataset", create=True), Catalog(tmp_path / "dataset") as catalog:
        catalog.set_meta("releasing", pending)
    tags = {"v2026.11.21": "commit"}
    assert choose_version(tmp_path / "dataset", tags, PublishOptions(now=NOON)) == expected
    assert choose_version(tmp_path / "dataset", tags, PublishOptions(now=NOON, version="mine")) == "mine"


def test_a_name_that_has_its_tag_is_no_longer_pending(tmp_path: Path) -> None:
    with locked(tmp_path / "dataset", create=True), Catalog(tmp_path / "dataset") as catalog:
        catalog.set_meta("releasing", "v2026.11.23")
    tags = {"v2026.11.23": "commit"}
    dry = PublishOptions(now=NOON, dry_run=True)
    assert choose_version(tmp_path / "dataset", tags, dry) == "v2026.11.23.1"
    assert pending_version(tmp_path / "dataset") == "v2026.11.23"
    assert choose_version(tmp_path / "dataset", tags, PublishOptions(now=NOON)) == "v2026.11.23.1"
    assert pending_version(tmp_path / "dataset") is None


def test_a_name_by_hand_must_be_one_of_a_version(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        choose_version(tmp_path / "dataset", {}, PublishOptions(now=NOON, version="../up"))


class Ahead(FolderRepository):
    """A repository on a server from whose clock this machine's differs."""

    error = timedelta()

    def clock_error(self) -> timedelta:  # type: ignore[override]
        return self.error


@pytest.mark.parametrize("error", [timedelta(days=1), timedelta(days=-1), timedelta(hours=5)])
def test_a_clock_may_be_wrong_by_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: timedelta) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(Ahead, "error", error)
    check_clock(Ahead(str(tmp_path / "out")), [], NOON)


@pytest.mark.parametrize("error", [timedelta(days=1, seconds=1), timedelta(days=-1, seconds=-1), timedelta(days=900)])
def test_a_clock_that_is_wrong_by_more_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: timedelta
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(Ahead, "error", error)
    with pytest.raises(PolicyError) as raised:
        check_clock(Ahead(str(tmp_path / "out")), [], NOON)
    found = re.search(r"machine says (\S+ \S+) UTC, the server says (\S+ \S+); set the clock", str(raised.value))
    assert found is not None
    here, there = (datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for text in found.groups())
    assert abs(here - there - error) <= timedelta(minutes=1)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # a stated date is no clock
    check_clock(Ahead(str(tmp_path / "out")), [], NOON)
