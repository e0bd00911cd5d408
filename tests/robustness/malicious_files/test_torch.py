"""Files that try to do harm: nothing of them runs, and each gives its honest tensors or one clear line."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from support.damage import damaged
from support.malicious_pickles import BOMBS, PAYLOADS, WEIGHT, beside, legacy, nested, tensor, zipped
from support.torch_files import READERS, OneFile, claimed, numbers, read

# Those that lie about a size: refused before memory is taken.
LIARS = ("exabytes", "petabytes", "gigabytes", "negative", "inflates")


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_does_not_run_and_hides_no_weight(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    found = read(PAYLOADS[name](marker))
    assert list(found) == ["weight"]
    assert numbers(found["weight"]) == WEIGHT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_gives_one_clear_line(name: str, tmp_path: Path) -> None:
    data = BOMBS[name](tmp_path / "ran")
    (reader,) = claimed(data)
    started = time.process_time()
    if any(word in name for word in LIARS):
        tracemalloc.start()
    try:
        with pytest.raises(CheckpointError) as caught:
            list(READERS[reader].tensors(OneFile(MemoryFile(data, "x.pt"))))
        peak = tracemalloc.get_traced_memory()[1] if tracemalloc.is_tracing() else 0
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
    assert time.process_time() - started < 20
    line = str(caught.value)
    assert line.startswith("x.pt: ")
    assert line.isprintable()
    assert len(line) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [zipped, legacy])
def test_deep_nesting_below_the_limit_is_read(make: object) -> None:
    assert callable(make)
    found = read(make(beside(nested(b"]", b"a", 400)[:-1])))
    assert list(found) == ["weight"]


SOUND = [zipped(beside(b"N")), legacy(beside(b"N"))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SOUND).flatmap(lambda whole: damaged(whole, cut=True)))
def test_damaged_files_never_break_the_reader(broken: bytes) -> None:
    file = MemoryFile(broken, "x.pt")
    for reader in READERS.values():
        reader.can_read(file)
        try:
            for stored in reader.tensors(OneFile(file)):
                if stored.location is not None:
                    assert len(numbers(stored)) <= 36 + len(broken)
        except CheckpointError:
            pass


PIECES = [
    *(b"}", b"(", b"]", b"q\1", b"h\1", b"t", b"R", b"b", b"K\3", b"u", b"e", b"o", b"\x93", b"\x81", b"Q"),
    *(b"ca\nB\n", b"ctorch\nSize\n", b"cnumpy\ndtype\n", b"ccollections\nOrderedDict\n", tensor()),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=1), st.sampled_from(PIECES)), max_size=40))
def test_random_opcodes_never_break_the_reader(opcodes: list[bytes]) -> None:
    data = zipped(b"".join(opcodes))
    try:
        list(READERS["torch-zip"].tensors(OneFile(MemoryFile(data, "x.pt"))))
    except CheckpointError as error:
        line = str(error)
        if not line.startswith("x.pt: "):
            raise AssertionError(line) from error
