"""Which name a version gets, and when a clock is not trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from filtercrawl.api.errors import PolicyError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.lock import locked
from filtercrawl_publish.publishing.options import PublishOptions
from filtercrawl_publish.publishing.version_choice import check_clock, choose_version
from filtercrawl_publish.repository.folder import FolderRepository

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("last", ["v2026.11.23.2", "v2026.11.24", "v2020.01.01", "v2029.13.45", "paper"])
def test_a_folder_trusts_a_clock_that_is_not_behind_the_last_version(tmp_path: Path, last: str) -> None:
    check_clock(FolderRepository(str(tmp_path / "out")), [last], NOON)


@pytest.mark.parametrize("last", ["v2026.11.25", "v2029.05.17.3"])
def test_names_do_not_go_on_from_a_later_day(tmp_path: Path, last: str) -> None:
    repository = FolderRepository(str(tmp_path / "out"))
    with pytest.raises(PolicyError, match=rf"{last}, has a later date than today, v2026\.11\.23.*set it.*rollback"):
        check_clock(repository, ["v2026.11.22", last], NOON)


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
