"""Flax checkpoints give every array, bit for bit, from numbers that stay in the file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.msgpack import Bytes, MessagePackReader
from filtercrawl_plugins.readers.flax_msgpack import FlaxReader
from support.damage import damaged
from support.flax_files import packed
from support.recording_file import WantedFile, want_all
from support.torch_files import OneFile, numbers
from support.zoo_files import layers, table

READER = FlaxReader()
RNG = np.random.default_rng(0)


def array(*shape: int, dtype: str = "f4") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def read(data: bytes) -> dict[str, StoredTensor]:
    file = MemoryFile(data, "x.msgpack")
    assert READER.can_read(file)
    return {tensor.name: tensor for tensor in READER.tensors(OneFile(file))}


KERNEL = array(3, 3, 5, 8)
TREE = {
    "params": {"conv": {"kernel": KERNEL, "bias": array(8)}, "att": {"query": {"kernel": array(8, 2, 4)}}},
    "batch_stats": {"bn": {"mean": array(8)}},
    "step": 7,
    "opt_state": {"0": {"mu": {"conv": {"kernel": KERNEL}}, "count": np.int32(3)}},
}


def test_arrays_are_bit_equal_and_kernels_in_the_order_of_torch() -> None:
    found = read(packed(TREE))
    kernel = found["params/conv/kernel"]
    assert (kernel.shape, kernel.layout, kernel.key) == ((8, 5, 3, 3), "kio", "params.conv.kernel")
    assert numbers(kernel) == np.ascontiguousarray(KERNEL.transpose(3, 2, 0, 1)).tobytes()
    assert numbers(found["batch_stats/bn/mean"]) == TREE["batch_stats"]["bn"]["mean"].tobytes()
    assert numbers(found["opt_state/0/count"]) == np.int32(3).tobytes()
    assert found["params/att/query/kernel"].layout is None


def test_half_precision_has_its_own_name() -> None:
    stored = np.arange(2 * 45, dtype="u2").reshape(3, 3, 1, 10)
    found = read(packed({"conv": {"kernel": stored}}, dtype="bfloat16"))["conv/kernel"]
    assert (found.dtype, found.shape) == ("bfloat16", (10, 1, 3, 3))


LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=80)
)


@given(
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner, max_size=40))
)
def test_every_plain_object_is_read(value: Any) -> None:
    def leaves(node: Any, path: tuple[str, ...] = ()) -> Any:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
        if items is None:
            yield path, node
            return
        for key, child in items:
            yield from leaves(child, (*path, str(key)))

    data = msgpack.packb(value)
    reader = reader_of(data)
    assert list(reader.leaves()) == list(leaves(value))
    assert reader.cursor.remaining == 0


def reader_of(data: bytes) -> MessagePackReader:
    file = MemoryFile(data)
    return MessagePackReader(file, Budget(file))


def test_binary_data_are_located() -> None:
    data = msgpack.packb([b"x" * 300, msgpack.ExtType(5, b"yy")])
    (_, raw), (_, extension) = reader_of(data).leaves()
    assert isinstance(raw, Bytes)
    assert data[raw.start : raw.start + raw.length] == b"x" * 300
    assert (extension.kind, extension.length) == (5, 2)  # type: ignore[attr-defined]


def test_numbers_are_read_only_when_they_are_wanted() -> None:
    tree = {f"conv{i}": {"kernel": array(3, 3, 64, 64)} for i in range(8)}
    file = WantedFile(packed(tree))
    tensors = list(READER.tensors(OneFile(file)))
    assert sum(stop - start for start, stop in file.reads) < file.size
    file.forget()
    want_all(tensors)
    for tensor, layer in zip(tensors, tree.values(), strict=True):
        assert numbers(tensor) == np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1)).tobytes()
    assert file.unwanted == []


@pytest.mark.parametrize("data", [b"", b"\x81\xa6params\x80", msgpack.packb({"a": [1] * 99}), b"\x81\xa6" * 40])
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not READER.can_read(MemoryFile(data))


def test_lying_sizes_and_bombs_are_refused() -> None:
    sound = packed({"conv": {"kernel": array(3, 3, 5, 8)}})
    shape = sound.replace(b"\x94\x03\x03\x05\x08", b"\x94\x03\x03\x05\x09")
    assert shape != sound
    for data in (shape, sound[:-9], sound + b"\0"):
        with pytest.raises(CheckpointError, match=r"^x\.msgpack: "):
            read(data)
    for bomb in (b"\x91" * 500, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff" * 9, b"\xc1", b"\x81\xc0\x01"):
        with pytest.raises(CheckpointError):
            list(reader_of(bomb).leaves())


@settings(max_examples=200, deadline=None)
@given(damaged(packed({"params": {"conv": {"kernel": KERNEL[:1], "bias": array(8)}}})))
def test_damaged_files_never_break_the_reader(broken: bytes) -> None:
    with suppress(CheckpointError):
        list(READER.tensors(OneFile(MemoryFile(broken))))


def test_sync_reads_flax(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "flax_model.msgpack").write_bytes(packed(TREE))
    run_sync()
    stored = layers(dataset)
    assert list(stored) == ["local/flax_model.msgpack#params/conv/kernel"]
    assert np.array_equal(next(iter(stored.values())), KERNEL.transpose(3, 2, 0, 1))
    reasons = {row["tensor"]: row["reason"] for row in table(dataset, "ledger")}
    assert reasons["opt_state/0/mu/conv/kernel"] == "optimizer_state"
