"""What a version may be published over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filtercrawl.api.errors import PolicyError
from filtercrawl_publish.publishing.overwrite_guard import check_overwrite
from filtercrawl_publish.repository.base import CommitOperations
from filtercrawl_publish.repository.folder import FolderRepository

MANIFEST = json.dumps({"dataset_id": "0123", "schema_version": 1, "root": "", "counts": {}})


def repository(tmp_path: Path, **files: str) -> tuple[FolderRepository, str]:
    """Return a repository with one commit of these files, and that commit."""
    opened = FolderRepository(str(tmp_path / "out"))
    for number, text in enumerate(files.values()):
        (tmp_path / str(number)).write_text(text)
    add = {path: tmp_path / str(number) for number, path in enumerate(files)}
    return opened, opened.commit(CommitOperations(add=add), None, "title", "")


@pytest.mark.parametrize("dataset_id", [None, "0123"])
@pytest.mark.parametrize(
    "files",
    [
        {"README.md": "# ours"},
        {"README.md": "", ".gitattributes": "", "LICENSE": "MIT"},
        {"README.md": "", "manifest.json": MANIFEST, "data/index/part.parquet": "", "notes.txt": ""},
    ],
)
def test_a_new_repository_and_the_same_dataset_are_no_loss(
    tmp_path: Path, files: dict[str, str], dataset_id: str | None
) -> None:
    opened, head = repository(tmp_path, **files)
    check_overwrite(opened, head, dataset_id, replace=False)
    check_overwrite(opened, None, dataset_id, replace=False)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"README.md": "# theirs", "train.csv": "a,b"}, r"holds 1 file but no filtercrawl dataset \(train\.csv\)"),
        ({"data/a.parquet": "", "manifest.json": '{"name": "app"}'}, "holds 2 files but no filtercrawl dataset"),
        (dict.fromkeys("dcba", ""), r"holds 4 files but no filtercrawl dataset \(a, b, c, \.\.\.\)"),
        (dict.fromkeys("cba", ""), r"holds 3 files but no filtercrawl dataset \(a, b, c\)"),
        ({"manifest.json": '{"dataset_id": "0123"}'}, "holds 1 file but no filtercrawl dataset"),
        ({"manifest.json": "[1]"}, "holds 1 file but no filtercrawl dataset"),
        ({"manifest.json": "[" * 100_000}, "holds 1 file but no filtercrawl dataset"),
        ({"README.md": "", "manifest.json": MANIFEST.replace("0123", "4567")}, "holds another filtercrawl dataset"),
    ],
)
def test_what_is_not_of_this_dataset_is_replaced_only_on_request(
    tmp_path: Path, files: dict[str, str], named: str
) -> None:
    opened, head = repository(tmp_path, **files)
    with pytest.raises(PolicyError, match=rf"out: {named}.*--replace") as raised:
        check_overwrite(opened, head, "0123", replace=False)
    assert "\n" not in str(raised.value)
    check_overwrite(opened, head, "0123", replace=True)


def test_a_folder_that_is_no_repository_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    (tmp_path / "file").touch()
    for name in ("photos", "link", "file"):
        with pytest.raises(PolicyError, match=f"{name}: .*publish to a new folder"):
            check_overwrite(FolderRepository(str(tmp_path / name)), None, "0123", replace=True)
    (tmp_path / "new").mkdir()
    check_overwrite(FolderRepository(str(tmp_path / "new")), None, "0123", replace=False)
