from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from filtercrawl.dataset.files.temporary_folder import temporary_folder

_HOLD = """
import sys
from filtercrawl.dataset.files.temporary_folder import temporary_folder
with temporary_folder() as folder:
    (folder / "large").write_bytes(bytes(100))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # asked for again
    return tmp_path


def age(folder: Path) -> None:
    os.utime(folder.parent / "lock", (0, 0))


def test_a_folder_is_private_and_goes_with_its_block(parent: Path) -> None:
    with temporary_folder() as folder:
        assert list(folder.iterdir()) == []
        assert folder.is_relative_to(parent)
        assert folder.parent.stat().st_mode & 0o077 == 0
    assert list(parent.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_folder_and_what_is_in_use_stays(parent: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().decode().strip())
        age(left)
        with temporary_folder() as used:
            age(used)
            with temporary_folder():
                assert (left / "large").is_file()
            process.send_signal(signal.SIGKILL)
            process.wait()
            with temporary_folder():
                assert not left.parent.exists()
                assert used.is_dir()
    assert list(parent.iterdir()) == []


def test_young_folders_and_those_of_others_stay(parent: Path) -> None:
    for name in ("filtercrawl-young", "filtercrawl-mine", "other-old"):
        (parent / name).mkdir()
        (parent / name / "lock").touch()
    (parent / "filtercrawl-mine" / "notes.txt").touch()
    for name in ("filtercrawl-mine", "other-old"):
        os.utime(parent / name / "lock", (0, 0))
    (parent / "filtercrawl-unlocked").mkdir()
    with temporary_folder():
        pass
    left = {"filtercrawl-young", "filtercrawl-mine", "other-old", "filtercrawl-unlocked"}
    assert {path.name for path in parent.iterdir()} == left
