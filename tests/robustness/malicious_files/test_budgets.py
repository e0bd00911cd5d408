"""Small files that ask for much work: what they may cost grows with their size, counted in steps and bytes."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from filtercrawl.api.errors import CheckpointError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl_plugins.formats.budget import LIMITS, MAX_HELD_BYTES, Budget
from filtercrawl_plugins.formats.pickle import objects
from filtercrawl_plugins.formats.zip import ZipArchive, ZipEntry, directory, inflated, read_directory
from support.malicious_pickles import short, storage, tensor, zipped
from support.torch_files import READERS, OneFile

NINE = struct.pack("<9f", *range(9))


def deflated(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def module(state: bytes) -> bytes:
    """Opcodes that push an object of a class of its own with a state."""
    return b"cm\nM\n)R" + state + b"b"


def long_get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def embedded(data: bytes) -> bytes:
    """Opcodes that push a storage that is pickled as a file of its own."""
    return b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(data)) + data + b"\x85R"


def embedded_tensors(inner: bytes, count: int) -> bytes:
    items = b"".join(
        short(f"l{i}.weight")
        + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + embedded(inner)
        + b"K\x00(K\x01K\x01K\x03K\x03t(K\x09K\x09K\x03K\x01t\x89}tR"
        for i in range(count)
    )
    return b"}(" + items + b"u"


def refused(data: bytes, match: str) -> None:
    """Require that a reader stops with one clear line."""
    file = MemoryFile(data, "x.pt")
    (reader,) = [reader for reader in READERS.values() if reader.can_read(file)]
    with pytest.raises(UnsafeFileError, match=match) as caught:
        list(reader.tensors(OneFile(file)))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_what_a_file_may_ask_for_grows_with_its_size() -> None:
    for limit in LIMITS.values():
        assert limit.of(0) == limit.base
        assert limit.of(0) <= limit.of(1 << 20) <= limit.of(1 << 40)
        assert limit.most is None or limit.of(1 << 60) == limit.most


def test_opcodes_of_all_pickles_are_counted_together() -> None:
    half = b"\x80\x02N" + b"20" * 600_000 + b"."
    entries = {"a/data.pkl": half, "a/constants.pkl": half, "a/code/x.py": b""}
    refused(deflated(entries), "steps of parsing")


def test_embedded_files_share_the_budget() -> None:
    pickle = b"\x80\x02N" + b"20" * 100_000 + storage() + b"."
    inner = deflated({"b/data.pkl": pickle, "b/version": b"3", "b/data/0": NINE})
    refused(zipped(embedded_tensors(inner, 12)), "steps")


def test_embedded_storages_are_inflated_only_as_far_as_they_are_read() -> None:
    size = 64 << 20
    held = storage(b"J" + struct.pack("<i", size // 4))
    inner = deflated({"b/data.pkl": b"\x80\x02" + held + b".", "b/version": b"3", "b/data/0": bytes(size)})
    file = MemoryFile(zipped(embedded_tensors(inner, 4)), "x.pt")
    tensors = list(READERS["torch-zip"].tensors(OneFile(file)))
    assert len(tensors) == 4
    for one in tensors:
        assert one.location is not None
        assert not one.location.read(((0, 1), (0, 1), (0, 3), (0, 3))).any()


def test_a_state_that_modules_share_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[object] = []
    to_name = objects.to_name

    def counted(key: object) -> str | None:
        names.append(key)
        return to_name(key)

    monkeypatch.setattr(objects, "to_name", counted)
    pairs = b"}q\x01(" + b"NN" * 20_000 + b"u0"
    modules = b"}(" + b"".join(b"M" + struct.pack("<H", i) + module(b"h\x01") for i in range(400)) + b"u"
    top = module(b"}(" + short("_modules") + modules + short("_parameters") + b"}" + short("_buffers") + b"}u")
    file = MemoryFile(deflated({"a/data.pkl": b"\x80\x02" + pairs + top + b"."}), "x.pt")
    assert list(READERS["torch-zip"].tensors(OneFile(file))) == []
    assert len(names) < 30_000


def test_attributes_of_shared_states_are_paid_for_by_each_module() -> None:
    pairs = b"}q\x01(" + b"".join(short(str(i)) + b"N" for i in range(10_000)) + b"u0"
    modules = b"}(" + b"".join(b"M" + struct.pack("<H", i) + module(b"h\x01") for i in range(400)) + b"u"
    top = module(b"}(" + short("_modules") + modules + short("_parameters") + b"}" + short("_buffers") + b"}u")
    refused(deflated({"a/data.pkl": b"\x80\x02" + pairs + top + b"."}), "steps of parsing")


def test_names_of_one_tensor_are_counted() -> None:
    one = tensor() + b"r" + struct.pack("<I", 1) + b"0"
    names = b"".join(short(f"c{i}.weight") + long_get(1) for i in range(20_000))
    refused(deflated({"a/data.pkl": b"\x80\x02" + one + b"}(" + names + b"u.", "a/data/0": NINE}), "tensors")


def test_long_paths_are_counted() -> None:
    one = tensor() + b"r" + struct.pack("<I", 1) + b"0"
    depth = 300
    names = b"".join(short(f"t{i}") + long_get(1) for i in range(5_000))
    nested = b"".join(b"}" + short(f"d{i:03}") for i in range(depth)) + b"}(" + names + b"u" + b"s" * depth
    refused(deflated({"a/data.pkl": b"\x80\x02" + one + nested + b".", "a/data/0": NINE}), "characters of names")


@pytest.mark.parametrize("number", [10**500, -(10**500), float("nan"), float("inf"), 1e300, 1 << 40], ids=str)
def test_scales_that_are_no_numbers_of_their_type(number: float) -> None:
    pushed = b"G" + struct.pack(">d", number) if isinstance(number, float) else b"L" + str(number).encode() + b"L\n"
    for scale, zero in ((pushed, b"K\x00"), (b"G" + struct.pack(">d", 1.0), pushed)):
        if number == 1 << 40 and scale == pushed:
            continue
        quantizer = b"(ctorch\nper_tensor_affine\n" + scale + zero + b"t"
        place = b"K\x00(K\x01K\x01K\x03K\x03t(K\x09K\x09K\x03K\x01t"
        made = b"ctorch._utils\n_rebuild_qtensor\n(" + storage(kind="QInt8Storage") + place + quantizer + b"\x89}tR"
        data = deflated({"a/data.pkl": b"\x80\x02}" + short("w") + made + b"s.", "a/data/0": bytes(9)})
        try:
            (found,) = READERS["torch-zip"].tensors(OneFile(MemoryFile(data, "x.pt")))
        except CheckpointError as error:
            assert "invalid scales" in str(error)  # noqa: PT017 - either of two answers
        else:
            assert (found.reason, found.location) == ("unreadable", None)


def test_a_long_entry_is_inflated_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflated, "MAX_WHOLE_BYTES", 1 << 20)
    data = np.random.default_rng(0).integers(0, 4, 5 << 20, np.uint8).tobytes()
    file = MemoryFile(deflated({"a": data, "b": data[: 1 << 20]}))
    archive = ZipArchive(file, Budget(file))
    entry = archive.open("a")
    for start, length in ((0, 10), (5, 100), (1 << 20, 1 << 20), (1, 7), (len(data) - 9, 9), (2 << 20, 3 << 20)):
        assert entry.read(start, length) == data[start : start + length]
        assert archive.open("b").read(start % 1000, 1000) == data[start % 1000 : start % 1000 + 1000]


def test_what_is_inflated_is_bounded_in_all() -> None:
    file = MemoryFile(deflated({"a": bytes(1 << 20), "b": bytes(1 << 20)}), "x.zip")
    archive = ZipArchive(file, Budget(file))
    archive.budget.inflate(LIMITS["inflated"].of(file.size) - (3 << 19))
    assert archive.open("a").read((1 << 20) - 1, 1) == b"\0"
    with pytest.raises(UnsafeFileError, match=r"^x\.zip: has more than .* bytes of decompressed data"):
        archive.open("b").read((1 << 20) - 1, 1)


def test_what_is_kept_of_inflated_entries_is_bounded() -> None:
    class Kept:
        held_bytes = MAX_HELD_BYTES // 4
        released = 0

        def release(self) -> None:
            self.released += 1

    budget = Budget(MemoryFile(b""))
    kept = [Kept() for _ in range(10)]
    for one in kept:
        budget.hold(one)
    assert [one.released for one in kept] == [1] * 6 + [0] * 4


def roots(count: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}/data.pkl", b"")
    return buffer.getvalue()


def test_an_archive_of_many_folders_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    read_entries = directory._read_entries

    def counted(file: RandomAccessFile, data: bytes, count: int) -> dict[str, ZipEntry]:
        parsed.append(count)
        return read_entries(file, data, count)

    monkeypatch.setattr(directory, "_read_entries", counted)
    file = MemoryFile(roots(3_000), "x.pt")
    claimed = [reader for reader in READERS.values() if reader.can_read(file)]
    with pytest.raises(CheckpointError, match="3000 entries"):
        list(claimed[0].tensors(OneFile(file)))
    assert parsed == [3_000]
    assert read_directory(file) is read_directory(file)
