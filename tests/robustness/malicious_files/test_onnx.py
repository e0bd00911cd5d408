"""Foreign, cut and damaged files: never another exception than a CheckpointError, never a long wait."""

from __future__ import annotations

import io
import pickle
import zipfile
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from filtercrawl.api.errors import CheckpointError, FormatError, TruncatedError, UnsafeFileError, UnsupportedError
from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import LIMITS, Limit
from support.onnx_models import READER, MemoryFiles, branch, model, node, random_array, read, stored_bytes, tensor


@cache
def sound() -> bytes:
    then = branch([node("Conv", ["x", "w"], "h"), node("Conv", ["h", "q"], "y")], [tensor("w", random_array(2, 2, 3))])
    nodes = [
        node("Constant", [], "k", value=tensor("", random_array(2, 1, 3, 3))),
        node("Constant", [], "v", value_ints=[1, -2]),
        node("DequantizeLinear", ["codes", "s", "z"], "q", axis=0),
        node("Conv", ["x", "k", "b"], "h", group=2, pads=[1, 1, 1, 1], auto_pad="NOTSET"),
        node("If", ["c"], "y", "If_0", then_branch=then, else_branch=branch([])),
        node("F", ["y", "k"], "z", domain="m", groups=2),
    ]
    body = [node("Conv", ["a", "w"], "o")]
    function = helper.make_function("m", "F", ["a", "w"], ["o"], body, [helper.make_opsetid("", 18)], ["groups"])
    constants = [
        helper.make_tensor("codes", TensorProto.INT8, [2, 2, 3], [-1, 5] * 6),
        tensor("s", np.array([0.5, 1], "f4")),
        tensor("z", np.array([0, 1], "i1")),
        helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 1]),
    ]
    return model(nodes, constants, [function]).SerializeToString()


def read_whatever(data: bytes) -> None:
    files = MemoryFiles(data)
    READER.can_read(files.main)
    problem = None
    try:
        READER.companion_paths(files.main)
        for stored in READER.tensors(files):
            assert (stored.convolution is None) != (stored.reason is None)
            if stored.location is not None:
                stored_bytes(stored)
    except CheckpointError as error:
        problem = str(error)
    assert problem is None or (problem.startswith("model.onnx: ") and "\n" not in problem)


def test_the_sound_model_is_read() -> None:
    found = read(sound())
    assert sum(t.convolution is not None for t in found.values()) == 3


def test_every_cut_is_told() -> None:
    data = sound()
    graph_start = data.index(b":")
    for length in range(graph_start + 8, len(data)):
        files = MemoryFiles(data[:length])
        assert READER.can_read(files.main)
        read_whatever(data[:length])
    half = MemoryFiles(data[: len(data) // 2])
    with pytest.raises(TruncatedError, match=r"^model.onnx: ends at byte \d+, but a field at byte"):
        list(READER.tensors(half))


@settings(max_examples=300, deadline=2000)
@given(
    st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 4095),
)
def test_damage_is_told_or_harmless(damage: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(sound())
    for place, value in damage:
        data[place % len(data)] = value
    read_whatever(bytes(data))
    read_whatever(bytes(data[: cut % len(data)]))


def test_every_single_bit_flip_is_told_or_harmless() -> None:
    data = sound()
    for place in range(len(data)):
        read_whatever(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])


@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"\x08\x08\x3a\x00")
def test_random_bytes_are_never_more_than_refused(data: bytes) -> None:
    read_whatever(data)


def foreign() -> dict[str, bytes]:
    torch_file, zip_file, arrays = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.ones(3)}, torch_file)
    with zipfile.ZipFile(zip_file, "w") as archive:
        archive.writestr("a", "b")
    np.savez(arrays, a=np.ones(3))
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return {
        "empty": b"",
        "one byte": b"\x08",
        "zeros": bytes(1000),
        "text": b"The quick brown fox jumps over the lazy dog.\n" * 20,
        "colons": b":" * 500,
        "json": b'{"a": 1}',
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "safetensors": len(header).to_bytes(8, "little") + header + bytes(4),
        "safetensors of 8": (8).to_bytes(8, "little") + b"{}      ",
        "torch": torch_file.getvalue(),
        "zip": zip_file.getvalue(),
        "npz": arrays.getvalue(),
        "pickles": b"".join(pickle.dumps({"a": [1, 2]}, protocol) for protocol in range(6)),
        "pickle 0": pickle.dumps({"a": [1, 2]}, 0),
        "tflite": b"\x1c\0\0\0TFL3" + bytes(100),
        # saved_model_schema_version = 1, then a long meta_graphs
        "tensorflow": b"\x08\x01\x12\x90\x03" + b"\x0a\x8d\x03" + b"\x0a\x02\x08\x01" * 100,
        "tensor": tensor("t", random_array(3)).SerializeToString(),
        "node": node("Conv", ["x", "w"], "y").SerializeToString(),
        "core ml": b"\x08\x04\x12\x04\x0a\x02\x0a\x00\xa2\x1f\x00",
        "no graph": b"\x08\x08\x12\x03abc",
        "no version": b"\x08\x00" + sound()[2:],
    }


@pytest.mark.parametrize("name", list(foreign()))
def test_foreign_files_are_not_claimed(name: str) -> None:
    assert not READER.can_read(MemoryFile(foreign()[name]))


def test_random_files_are_not_claimed() -> None:
    rng = np.random.default_rng(0)
    claimed = [READER.can_read(MemoryFile(rng.bytes(4096))) for _ in range(2000)]
    assert not any(claimed)


def test_a_graph_before_the_version_is_claimed() -> None:
    data = sound()
    assert data[:2] == b"\x08\x0a"
    assert READER.can_read(MemoryFile(data[2:] + data[:2]))
    assert len(read(data[2:] + data[:2])) == len(read(data))


def test_large_tensors_are_stepped_over(tmp_path: object) -> None:
    weights = [tensor(f"w{i}", random_array(64, 64, 9, 9, seed=i)) for i in range(4)]
    nodes = [node("Conv", ["x", f"w{i}"], "y") for i in range(4)]
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, weights).SerializeToString())
    file = LocalFile(path)
    assert READER.can_read(file)
    assert file.bytes_read < 10_000
    files = MemoryFiles(b"")
    files.main = file
    assert sum(t.convolution is not None for t in READER.tensors(files)) == 4
    assert file.bytes_read < 100_000 < file.size / 50


def delimited(number: int, payload: bytes) -> bytes:
    length, rest = b"", len(payload)
    while rest > 127:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + payload


def nested(depth: int) -> bytes:
    graph = delimited(2, b"innermost")
    for _ in range(depth):
        attribute = delimited(1, b"then_branch") + delimited(6, graph)
        graph = delimited(1, delimited(4, b"If") + delimited(5, attribute))
    return b"\x08\x08" + delimited(7, graph)


def test_graphs_nest_to_a_limit() -> None:
    assert read(nested(20)) == {}
    with pytest.raises(UnsupportedError, match="nests graphs"):
        read(nested(40))


def test_claims_of_petabytes_take_no_memory() -> None:
    huge = b"\xff" * 7 + b"\x7f"
    for data in (
        b"\x08\x08\x3a" + huge,
        b"\x08\x08\x3a\x0b\x2a" + huge + b"\x01\x02",
        b"\x3a\x0a\x0a" + huge,
    ):
        with pytest.raises(FormatError):
            list(READER.tensors(MemoryFiles(data)))


def test_a_graph_beyond_all_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "steps", Limit(10_000, 0, None, "steps of parsing"))
    tiny_nodes = b"\x0a\x00" * 5_000
    tiny_inputs = delimited(1, b"\x0a\x00" * 20_000)
    text = delimited(1, delimited(1, b"n" * 4000) * 50)
    numbers = delimited(1, delimited(5, delimited(8, b"\x01" * 100_000)))
    for graph in (tiny_nodes, tiny_inputs, text, numbers):
        with pytest.raises(UnsafeFileError, match="more than 10,000 steps of parsing"):
            list(READER.tensors(MemoryFiles(b"\x08\x08" + delimited(7, graph))))


def test_names_that_nesting_multiplies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "text", Limit(10_000, 0, None, "characters of names"))
    inner = branch([], [tensor(f"t{i}", random_array(1)) for i in range(20)])
    built = model([node("If", ["c"], "y", "n" * 1000, then_branch=inner)])
    with pytest.raises(UnsafeFileError, match="characters of names"):
        read(built)


@pytest.mark.parametrize("data", [b"\x08\x08", sound() + sound()])
def test_a_model_has_one_graph(data: bytes) -> None:
    with pytest.raises(FormatError, match="graphs, an ONNX model has one"):
        list(READER.tensors(MemoryFiles(data)))
