"""Arrays that Flax writes in chunks are one array, and what `flax.serialization` reads is what is read here.

Flax is too large for the extra `test`: `pip install flax`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.flax_msgpack import FlaxReader
from support.flax_files import packed
from support.recording_file import WantedFile
from support.torch_files import OneFile, numbers

RNG = np.random.default_rng(0)
MARK = "__msgpack_chunked_array__"


def in_chunks(array: np.ndarray, size: int) -> dict[str, Any]:
    flat = array.reshape(-1)
    return {
        MARK: True,
        "shape": {str(axis): n for axis, n in enumerate(array.shape)},
        "chunks": {str(i): flat[i * size : (i + 1) * size] for i in range(-(-flat.size // size))},
    }


def read(data: bytes) -> dict[str, StoredTensor]:
    return {tensor.name: tensor for tensor in FlaxReader().tensors(OneFile(MemoryFile(data, "x.msgpack")))}


KERNEL = RNG.standard_normal((3, 3, 5, 8)).astype("f4")


@pytest.mark.parametrize("size", [1, 7, 32, 360, 1000])
def test_chunks_are_one_array(size: int) -> None:
    bias = RNG.standard_normal(8).astype("f4")
    found = read(packed({"params": {"conv": {"kernel": in_chunks(KERNEL, size), "bias": bias}}}))
    assert sorted(found) == ["params/conv/bias", "params/conv/kernel"]
    kernel = found["params/conv/kernel"]
    assert (kernel.shape, kernel.layout, kernel.key) == ((8, 5, 3, 3), "kio", "params.conv.kernel")
    assert numbers(kernel) == np.ascontiguousarray(KERNEL.transpose(3, 2, 0, 1)).tobytes()


def test_a_part_of_it_reads_the_chunks_that_hold_the_part() -> None:
    table = RNG.standard_normal((40, 6)).astype("f4")
    file = WantedFile(packed({"wte": {"embedding": in_chunks(table, 60)}, "b": RNG.standard_normal(3)}))
    (embedding,) = [tensor for tensor in FlaxReader().tensors(OneFile(file)) if "embedding" in tensor.name]
    assert embedding.location is not None
    before = len(file.reads)
    found = embedding.location.read(((12, 18), (0, 6)))
    assert found.tobytes() == table[12:18].tobytes()
    assert sum(stop - start for start, stop in file.reads[before:]) == table[12:18].nbytes
    assert len(file.reads) - before == 1
    found = embedding.location.read(((9, 31), (0, 6)))
    assert found.tobytes() == table[9:31].tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored["shape"].update({"0": 4}),
        lambda stored: stored["shape"].update({"0": True}),
        lambda stored: stored["shape"].update({"0": -3, "1": -3}),
        lambda stored: stored["shape"].update({"5": 1}),
        lambda stored: stored["chunks"].pop("1"),
        lambda stored: stored["chunks"].update({"9": stored["chunks"].pop("1")}),
        lambda stored: stored["chunks"].update({"1": stored["chunks"]["1"].astype("f8")}),
        lambda stored: stored["chunks"].update({"1": stored["chunks"]["1"].reshape(2, -1)}),
        lambda stored: stored["chunks"].clear(),
        lambda stored: stored.pop("shape"),
    ],
)
def test_chunks_that_make_no_array_are_refused(change: Any) -> None:
    stored = in_chunks(KERNEL, 100)
    change(stored)
    with pytest.raises(CheckpointError, match=r"^x\.msgpack: the chunks of 'conv/kernel' do not make an array$"):
        read(packed({"conv": {"kernel": stored, "bias": KERNEL}}))


def test_the_key_tells_whatever_its_value() -> None:
    found = read(packed({"conv": {"kernel": in_chunks(KERNEL, 100) | {MARK: False}}}))
    assert list(found) == ["conv/kernel"]


@pytest.mark.parametrize("chunk_bytes", [2**30, 400, 4])
def test_flax_reads_the_same(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    serialization = pytest.importorskip("flax.serialization", reason="needs the package flax")
    monkeypatch.setattr(serialization, "MAX_CHUNK_SIZE", chunk_bytes)
    tree = {
        "params": {"conv": {"kernel": KERNEL, "bias": RNG.standard_normal(8).astype("f2")}},
        "mask": np.array([True, False]),
        "phase": np.arange(6).astype("c8").reshape(2, 3),
        "scale": np.float32(0.5),
        "empty": np.zeros((3, 3, 0, 4), "f4"),
        "codes": np.arange(60, dtype="u1").reshape(3, 4, 5),
        "step": 7,
    }
    data = serialization.msgpack_serialize(tree)
    found, expected = read(data), serialization.msgpack_restore(data)
    assert sorted(found) == ["codes", "empty", "mask", "params/conv/bias", "params/conv/kernel", "phase", "scale"]
    expected |= {f"params/conv/{leaf}": array for leaf, array in expected.pop("params")["conv"].items()}
    for name, tensor in found.items():
        array = np.asarray(expected[name])
        if tensor.layout == "kio":
            array = array.transpose(3, 2, 0, 1)
        assert (tensor.dtype, tensor.shape) == (array.dtype.name, array.shape)
        assert numbers(tensor) == np.ascontiguousarray(array).tobytes()
