"""Headers and graphs that claim great numbers: refused by a count, before memory or time is taken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from filtercrawl.api.errors import CheckpointError, FormatError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation, row_major
from filtercrawl.extraction import classify
from filtercrawl.extraction.averages import Averages
from filtercrawl_plugins.formats import json_text
from filtercrawl_plugins.formats.budget import LIMITS, Limit
from filtercrawl_plugins.readers.onnx.graph import tensor_proto
from filtercrawl_plugins.readers.safetensors import SafetensorsReader
from support.crafted_files import entry, safetensors
from support.onnx_models import READER, MemoryFiles, model, node, random_array, tensor
from support.recording_file import WantedFile
from support.torch_files import OneFile


def read_header(header: object) -> list[StoredTensor]:
    file = MemoryFile(safetensors(header, bytes(36)), "x.safetensors")
    return list(SafetensorsReader().tensors(OneFile(file)))


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b'{"__metadata__":[' + b"[]," * 40 + b"1]}", "values of JSON, at most 40"),
        (b'{"w":{"dtype":"F32","shape":[' + b"9" * 41 + b'],"data_offsets":[0,36]}}', "an integer of 41 digits"),
        ({"w": entry([1 << 63], 0, 36)}, "no valid dtype, shape"),
        ({"x" * 5_000: entry([9], 0, 36)}, "5,000 characters"),
    ],
)
def test_headers_of_safetensors(header: object, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_VALUES", 40)
    with pytest.raises(CheckpointError, match=match) as caught:
        read_header(header)
    assert len(str(caught.value)) < 300


def test_a_shape_of_too_many_axes() -> None:
    with pytest.raises(FormatError, match="no valid dtype, shape"):
        read_header({"w": entry([1] * 65, 0, 36)})


def test_a_header_within_the_limits_is_read() -> None:
    assert [one.name for one in read_header({"w": entry([1, 1, 3, 3], 0, 36)})] == ["w"]
    numbers = {"a": [1, -(2**63), 2**64 - 1]}
    assert json_text.parse_json(json.dumps(numbers).encode(), "x") == numbers


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128, *varint(number >> 7)]) if number > 127 else bytes([number])


def delimited(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def read_graph(graph: bytes) -> list[StoredTensor]:
    return list(READER.tensors(MemoryFiles(b"\x08\x08" + delimited(7, graph))))


def test_dims_beyond_those_of_any_tensor_are_not_multiplied() -> None:
    with pytest.raises(FormatError, match="invalid shape"):
        read_graph(delimited(5, delimited(1, b"\x7f" * 100_000) + b"\x10\x01" + delimited(8, b"w")))


def test_integers_of_attributes_are_arrays() -> None:
    numbers = [-(2**63), *range(1_000), 2**63 - 1]
    built = model([node("Constant", [], "v", value_ints=numbers), node("Constant", [], "w", value_ints=[3, -1])], [])
    found = {one.name: one for one in READER.tensors(MemoryFiles(built.SerializeToString()))}
    for name, expected in (("v", numbers), ("w", [3, -1])):
        location = found[name].location
        assert location is not None
        assert location.read(((0, len(expected)),)).view("<i8").reshape(-1).tolist() == expected


def test_numbers_in_too_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_proto, "MAX_PIECES", 8)
    with pytest.raises(FormatError, match="more than 8 pieces; write them packed"):
        read_graph(delimited(5, b"\x08\x09\x10\x01" + delimited(8, b"w") + b"\x25\0\0\x80?" * 9))


def test_convolutions_of_a_graph_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "kernels", Limit(3, 0, None, "convolutions"))
    nodes = [node("Conv", ["x", "w"], f"y{i}") for i in range(4)]
    files = MemoryFiles(model(nodes, [tensor("w", random_array(1, 1, 3, 3))]).SerializeToString())
    with pytest.raises(UnsafeFileError, match="more than 3 convolutions"):
        list(READER.tensors(files))


def stored(name: str, root: tuple[str, ...] = ()) -> StoredTensor:
    full = ".".join((*root, name))
    return StoredTensor(name=full, key=name, root=root, shape=(1, 1, 3, 3), dtype="float32", location=None)


def test_layers_of_a_checkpoint_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "MAX_LAYERS", 3)
    with pytest.raises(UnsafeFileError, match="4 tensors of the shape of kernels, at most 3"):
        classify.classify_tensors([stored(f"c{i}.weight") for i in range(4)])


def test_averages_are_found_beside_deep_containers() -> None:
    deep = tuple(f"d{i}" for i in range(400))
    tensors = [stored(f"t{i}", deep) for i in range(200)]
    (found,) = Averages([*tensors, stored("t7", ("model_ema",)), stored("t7", ("model",))]).sets()
    assert [(average.name, raw.name) for average, raw in found.pairs] == [("model_ema.t7", "model.t7")]


def test_column_major_arrays_are_read_in_pieces() -> None:
    shape = (8, 16, 3, 3)
    numbers = np.random.default_rng(0).random(shape, np.float32)
    file = WantedFile(numbers.tobytes(order="F"))
    strides = row_major(shape[::-1])[::-1]
    location = TensorLocation(file=file, offset=0, dtype="float32", shape=shape, strides=strides)
    read = location.read(((2, 3), (0, 16), (0, 3), (0, 3)))
    assert np.array_equal(read.view("<f4")[..., 0], numbers[2:3])
    assert len(file.reads) == 1
