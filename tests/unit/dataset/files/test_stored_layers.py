"""Layers files in a folder, beside those that are known."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.dataset.files.stored_layers import LAYERS, absent, delete_orphans, stored_layers

# Names that sort otherwise as whole paths than folder by folder.
NAMES = ("lab/00/a.parquet", "lab-2/00/a.parquet", "lab.x/00/a.parquet", "lab/00/a-b.parquet", "lab/0/a.parquet")


def write(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / LAYERS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return sorted(f"{LAYERS}/{name}" for name in names)


def test_paths_are_sorted_as_whole_texts(tmp_path: Path) -> None:
    expected = write(tmp_path, *NAMES)
    write(tmp_path, "lab/00/notes.txt")
    assert list(stored_layers(tmp_path)) == expected
    assert list(stored_layers(tmp_path / "elsewhere")) == []


def test_what_is_known_and_not_there_is_absent(tmp_path: Path) -> None:
    present = write(tmp_path, *NAMES[:3])
    lost = [f"{LAYERS}/{name}" for name in NAMES[3:]]
    assert list(absent(sorted([*present, *lost]), tmp_path)) == sorted(lost)
    assert list(absent(present, tmp_path)) == []
    assert list(absent(lost, tmp_path / "elsewhere")) == lost


class Known:
    """A catalog that knows these files."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def layer_files(self) -> list[tuple[str, int, str]]:
        return [(path, 1, "0" * 64) for path in self.paths]


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_exactly_what_is_not_known_is_deleted(stored: set[str], known: set[str]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        write(folder, *stored)
        kept = Known(sorted(f"{LAYERS}/{name}" for name in known))
        assert set(delete_orphans(folder, kept)) == {f"{LAYERS}/{name}" for name in stored - known}
        assert set(stored_layers(folder)) == {f"{LAYERS}/{name}" for name in stored & known}
