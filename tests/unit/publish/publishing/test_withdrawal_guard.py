"""What was withdrawn is not published again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import PolicyError
from filtercrawl_publish.publishing.withdrawal_guard import check_withdrawals, published_models
from filtercrawl_publish.repository.base import CommitOperations
from filtercrawl_publish.repository.folder import FolderRepository


def version(tmp_path: Path, **tables: list[dict[str, Any]]) -> tuple[FolderRepository, str]:
    """Return a repository with one commit of these tables, of one file each, and that commit."""
    add = {"README.md": tmp_path / "card"}
    add["README.md"].touch()
    for name, rows in tables.items():
        add[f"data/{name}.parquet"] = tmp_path / name
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    repository = FolderRepository(str(tmp_path / "out"))
    return repository, repository.commit(CommitOperations(add=add), None, "title", "")


def rows(outcome: str, *names: str) -> list[dict[str, str]]:
    return [{"model_id": name, "outcome": outcome} for name in names]


def unread() -> Iterable[Mapping[str, Any]]:
    pytest.fail("asked for the models without need")
    yield


def test_without_withdrawals_the_models_are_not_even_read(tmp_path: Path) -> None:
    repository, commit = version(tmp_path, models=rows("emitted", "a"))
    check_withdrawals(repository, None, unread(), "")
    check_withdrawals(repository, commit, unread(), "")
    assert list(published_models(repository, commit)) == rows("emitted", "a")


@pytest.mark.parametrize("outcome", ["withdrawn", "skipped", "failed"])
def test_what_holds_no_weights_may_have_been_withdrawn(tmp_path: Path, outcome: str) -> None:
    repository, commit = version(tmp_path, withdrawn=[{"model_id": "a"}])
    check_withdrawals(repository, commit, [*rows(outcome, "a"), *rows("emitted", "b")], "")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("a", r"1 checkpoint of what is to be published \(a\); do this"),
        ("cba", r"3 checkpoints of what is to be published \(a, b, c\); do this"),
        ("dcba", r"4 checkpoints of what is to be published \(a, b, c, \.\.\.\); do this"),
    ],
)
@pytest.mark.parametrize("outcome", ["emitted", "duplicate", "no_kernels"])
def test_a_withdrawn_checkpoint_does_not_come_back(tmp_path: Path, names: str, told: str, outcome: str) -> None:
    repository, commit = version(tmp_path, withdrawn=[{"model_id": name} for name in "abcdef"])
    with pytest.raises(PolicyError, match=rf"out: has withdrawn {told}"):
        check_withdrawals(repository, commit, [*rows(outcome, *names), *rows(outcome, "x")], "do this")
