"""Plain pickles of arrays are read bit for bit, in every protocol, without reading the numbers and running nothing."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.pickled_arrays import PickledArraysReader
from support.damage import damaged
from support.recording_file import WantedFile, want_all
from support.torch_files import OneFile, numbers, saved
from support.zoo_files import layers, models

READER = PickledArraysReader()
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((16, 8, 3, 3)).astype("f4")
BIAS = RNG.standard_normal(16).astype("f4")


def read(data: bytes) -> dict[str, StoredTensor]:
    file = MemoryFile(data, "x.pkl")
    assert READER.can_read(file)
    return {tensor.name: tensor for tensor in READER.tensors(OneFile(file))}


def npy(value: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(value, dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_bit_equal(protocol: int) -> None:
    for order in (KERNEL, np.asfortranarray(KERNEL), KERNEL.astype(">f4"), np.asfortranarray(KERNEL.astype(">f4"))):
        found = read(pickle.dumps({"model": {"conv.weight": order, "conv.bias": BIAS}}, protocol=protocol))
        assert numbers(found["model.conv.weight"]) == KERNEL.tobytes()
        assert numbers(found["model.conv.bias"]) == BIAS.tobytes()
        assert found["model.conv.weight"].key == "conv.weight"


@pytest.mark.parametrize(
    ("value", "name", "order"),
    [
        # detectron2, Caffe2, Paddle (old and new), TF-Slim and tuples of variables.
        ({"model": {"stem.conv1.weight": KERNEL}, "__author__": "zoo"}, "model.stem.conv1.weight", "oihw"),
        ({"blobs": {"conv1_w": KERNEL, "conv1_b": BIAS}, "cfg": "x: 1"}, "blobs.conv1_w", "oihw"),
        ({"conv.weight": KERNEL, "StructuredToParameterName@@": {"conv.weight": "w_0"}}, "conv.weight", "oihw"),
        (OrderedDict({"conv.weight": ("conv2d_0.w_0", KERNEL)}), "conv.weight", "oihw"),
        ({"conv1": {"weights": KERNEL.transpose(2, 3, 1, 0).copy(), "biases": BIAS}}, "conv1.weights", "hwio"),
        ([("net/conv/w:0", KERNEL.transpose(2, 3, 1, 0).copy()), ("net/conv/b:0", BIAS)], "net/conv/w:0", "hwio"),
    ],
)  # fmt: skip
def test_what_zoos_pickle(value: Any, name: str, order: str) -> None:
    files = [pickle.dumps(value), pickle.dumps(value, protocol=2)]
    if isinstance(value, dict):
        files.append(npy(value))
    for data in files:
        found = read(data)[name]
        assert found.shape == KERNEL.shape
        assert numbers(found) == KERNEL.tobytes()
        assert found.layout == {"oihw": None if name.endswith("weight") else "oik", "hwio": "kio"}[order]


def test_tensors_that_were_pickled_without_torch_save() -> None:
    found = read(pickle.dumps({"conv.weight": torch.from_numpy(KERNEL)}))
    assert numbers(found["conv.weight"]) == KERNEL.tobytes()


@pytest.mark.parametrize("protocol", [2, 4])
def test_numbers_are_neither_read_nor_kept(protocol: int) -> None:
    arrays = {f"conv{i}.weight": RNG.standard_normal((64, 64, 3, 3)).astype("f4") for i in range(8)}
    file = WantedFile(pickle.dumps(arrays, protocol=protocol))
    assert READER.can_read(file)
    tensors = list(READER.tensors(OneFile(file)))
    assert sum(stop - start for start, stop in file.reads) < 10 * 70_000 + 40_000 < file.size
    file.forget()
    want_all(tensors)
    assert [numbers(tensor) for tensor in tensors] == [array.tobytes() for array in arrays.values()]
    assert file.unwanted == []


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\2}q\0.", b"\x80\4]\x94.", saved({"a.weight": torch.ones(2)}, zipped=False), b"numpy" * 99,
     pickle.dumps({"names": ["a"] * 9}), b"\x93NUMPY\1\0", b"PK\3\4numpy"],
)  # fmt: skip
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not READER.can_read(MemoryFile(data))


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_run(tmp_path: Path) -> None:
    found = read(pickle.dumps({"conv.weight": KERNEL, "payload": Payload(tmp_path / "ran")}))
    assert list(found) == ["conv.weight"]
    assert list(tmp_path.iterdir()) == []


def test_lying_sizes_are_refused() -> None:
    sound = pickle.dumps({"conv.weight": KERNEL}, protocol=4)
    shape = sound.replace(b"K\x10K\x08K\x03K\x03", b"K\x10K\x08K\x03K\x04")
    length = sound.replace((4608).to_bytes(4, "little"), (1 << 31).to_bytes(4, "little"))
    assert sound not in (shape, length)
    for data in (shape, length, sound[:-200]):
        with pytest.raises(CheckpointError, match=r"^x\.pkl: "):
            read(data)


WHOLE = [pickle.dumps({"conv.weight": KERNEL[:4], "conv.bias": BIAS}, protocol=protocol) for protocol in (0, 2, 4, 5)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WHOLE).flatmap(damaged))
def test_damaged_files_never_break_the_reader(broken: bytes) -> None:
    file = MemoryFile(broken, "x.pkl")
    with suppress(CheckpointError):
        if READER.can_read(file):
            for tensor in READER.tensors(OneFile(file)):
                if tensor.location is not None:
                    tensor.location.read(tuple((0, min(1, size)) for size in tensor.shape))


def test_sync_reads_both_zoos(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    (zoo / "model_final.pkl").write_bytes(pickle.dumps({"model": {"conv.weight": KERNEL}}, protocol=4))
    (zoo / "resnet.pdparams").write_bytes(pickle.dumps({"conv.weight": KERNEL + 1}, protocol=2))
    run_sync()
    assert {row["format"] for row in models(dataset).values()} == {"pickle"}
    assert np.array_equal(layers(dataset)["local/model_final.pkl#model.conv.weight"], KERNEL)
    assert np.array_equal(layers(dataset)["local/resnet.pdparams#conv.weight"], KERNEL + 1)
