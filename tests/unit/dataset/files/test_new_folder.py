"""A folder appears as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from filtercrawl.api.errors import DatasetError, PolicyError
from filtercrawl.dataset.files.new_folder import new_folder, remove_unfinished, unfinished_folder


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "sub/set"
    with new_folder(target, replace=False) as folder:
        (folder / "inner").mkdir()
        (folder / "inner/a").write_text("1")
        assert not target.exists()
    assert files(tmp_path) == {"sub/set/inner/a": "1"}


def test_a_folder_that_exists_is_replaced_as_a_whole_only_if_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_text("0")
    with pytest.raises(PolicyError, match="--force"), new_folder(target, replace=False):
        pass
    with new_folder(target, replace=True) as folder:
        (folder / "new").write_text("1")
    assert files(tmp_path) == {"set/new": "1"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    with new_folder(link, replace=True) as folder:
        (folder / "new").write_text("1")
    assert link.readlink() == tmp_path / "real"
    assert files(tmp_path / "real") == {"new": "1"}
    assert sorted(tmp_path.iterdir()) == [link, tmp_path / "real"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PolicyError, match="is no folder"), new_folder(tmp_path / "file", replace=True):
        pass
    assert files(tmp_path) == {"file": "mine"}


@pytest.mark.parametrize(("error", "raised"), [(ValueError("x"), ValueError), (OSError(28, "disk full"), DatasetError)])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: Exception, raised: type[Exception]) -> None:
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_text("0")

    def write() -> None:
        with new_folder(target, replace=True) as folder:
            (folder / "new").write_text("1")
            raise error

    with pytest.raises(raised):
        write()
    assert files(tmp_path) == {"set/old": "0"}
    assert list(tmp_path.iterdir()) == [target]


def test_what_killed_processes_left_is_deleted_by_name(tmp_path: Path) -> None:
    with unfinished_folder(tmp_path / "set") as own, unfinished_folder(tmp_path / "set-1-b") as other:
        (tmp_path / ".unfinished-set").mkdir()
        own.with_name(f"{own.name}-before").mkdir()
        remove_unfinished(tmp_path, "set")
        assert sorted(tmp_path.iterdir()) == sorted([other, tmp_path / ".unfinished-set"])
        remove_unfinished(tmp_path)
        assert list(tmp_path.iterdir()) == [tmp_path / ".unfinished-set"]
    remove_unfinished(tmp_path / "none")
