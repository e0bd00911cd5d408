"""Every way in which ONNX stores numbers gives the bits that the onnx library gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from filtercrawl.api.errors import CheckpointError, FormatError, TruncatedError, UnsafeFileError
from filtercrawl.api.tensor_location import ITEMSIZE
from support.onnx_models import (
    READER,
    Folder,
    MemoryFiles,
    model,
    node,
    random_array,
    read,
    reference,
    stored_bytes,
    tensor,
)
from support.recording_file import WantedFile, want_all

WHOLE = (
    "FLOAT",
    "DOUBLE",
    "FLOAT16",
    "BFLOAT16",
    "INT8",
    "UINT8",
    "INT16",
    "UINT16",
    "INT32",
    "UINT32",
    "INT64",
)
WHOLE += (
    "UINT64",
    "BOOL",
    "COMPLEX64",
    "COMPLEX128",
    "FLOAT8E4M3FN",
    "FLOAT8E4M3FNUZ",
    "FLOAT8E5M2",
    "FLOAT8E5M2FNUZ",
)


def values_for(kind: str) -> np.ndarray:
    if kind == "BOOL":
        return np.array([True, False, True, True, False, True])
    if kind.startswith("COMPLEX"):
        return np.array([1 + 2j, -3.5j, 0, 1, 2, 3])
    if kind.startswith("UINT"):
        return np.array([0, 1, 127, 128, 200, 255])
    if kind.startswith("INT"):
        return np.array([0, -1, 127, -128, 5, -100])
    return np.array([0.0, -1.5, 0.25, 2.0, -3.0, 448.0])


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_tensor_of_any_type_has_the_library_s_bits(kind: str, *, raw: bool) -> None:
    number = TensorProto.DataType.Value(kind)
    values = values_for(kind)
    data: object = values
    if raw:
        data = values.astype(helper.tensor_dtype_to_np_dtype(number)).tobytes()
    message = helper.make_tensor("t", number, [2, 3], data, raw=raw)
    stored = read(model([], [message]))["t"]
    assert stored.shape == (2, 3)
    assert stored_bytes(stored) == reference(message)
    assert stored.dtype in ITEMSIZE
    assert (stored.reason == "complex") == kind.startswith("COMPLEX")


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=50))
def test_varints_of_any_length_are_decoded(numbers: list[int]) -> None:
    message = helper.make_tensor("t", TensorProto.INT64, [len(numbers)], numbers)
    assert stored_bytes(read(model([], [message]))["t"]) == np.array(numbers, "<i8").tobytes()


def test_a_long_run_of_varints_is_decoded_piece_by_piece() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 16, 700_000, np.uint16)
    message = TensorProto(name="t", data_type=TensorProto.FLOAT16, dims=[bits.size], int32_data=bits.tolist())
    assert len(message.SerializeToString()) > 1 << 20
    assert stored_bytes(read(model([], [message]))["t"]) == bits.tobytes()


def length_delimited(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def wrapped(message: bytes) -> bytes:
    """Put the bytes of one TensorProto into a model."""
    return b"\x08\x08" + length_delimited(7, length_delimited(5, message))


def test_unpacked_and_split_numbers_are_read_in_whatever_order_fields_come() -> None:
    values = np.array([1.5, -2.0, 3.25, 0.5], "<f4")
    piece = [v.tobytes() for v in values]
    name, kind, dims = length_delimited(8, b"t"), b"\x10\x01", b"\x08\x02\x08\x02"
    unpacked = b"".join(b"\x25" + p for p in piece)
    split = length_delimited(4, piece[0]) + b"\x25" + piece[1] + length_delimited(4, piece[2] + piece[3])
    packed_dims = length_delimited(1, b"\x02\x02")
    for message in (
        unpacked + name + kind + dims,
        split + dims + name + kind,
        kind + split + name + packed_dims,
    ):
        parsed = TensorProto.FromString(message)
        stored = read(wrapped(message))["t"]
        assert stored_bytes(stored) == values.tobytes() == reference(parsed)
        assert stored.shape == (2, 2)


def test_unpacked_varints_are_read() -> None:
    message = b"\x08\x03\x10\x03\x42\x01t" + b"\x28\x05\x28\x7f\x28" + b"\xff" * 9 + b"\x01"
    assert np.frombuffer(stored_bytes(read(wrapped(message))["t"]), np.int8).tolist() == [5, 127, -1]


def test_numbers_in_the_file_are_not_copied() -> None:
    array = random_array(4, 3, 3, 3)
    typed = helper.make_tensor("typed", TensorProto.FLOAT, array.shape, array)
    data = model([], [tensor("raw", array), typed]).SerializeToString()
    files = MemoryFiles(data)
    for stored in READER.tensors(files):
        assert stored.location is not None
        assert stored.location.file is files.main
        assert data[stored.location.offset :].startswith(array.tobytes())


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "INT64"])
def test_numbers_behind_a_decoder_are_wanted(kind: str) -> None:
    """Varints, and floats in two pieces, are decoded from their message and nothing around it."""
    values = np.arange(3000).reshape(10, 300)
    tensors = [helper.make_tensor(f"t{i}", TensorProto.DataType.Value(kind), [10, 300], values) for i in range(9)]
    data = model([], tensors).SerializeToString()
    if kind == "FLOAT":
        message = tensors[4]
        rest = TensorProto(float_data=message.float_data[2999:])
        del message.float_data[2999:]
        split = length_delimited(5, message.SerializeToString() + rest.SerializeToString())
        other = length_delimited(5, tensors[5].SerializeToString())
        data = b"\x08\x08" + length_delimited(7, split + other)
    file = WantedFile(data)
    files = MemoryFiles(b"")
    files.main = file
    found = list(READER.tensors(files))
    file.forget()
    want_all(found)
    for stored in found:
        extent = stored.location
        assert extent is not None
        assert stored_bytes(stored) == values.astype(extent.dtype).tobytes()
    assert file.unwanted == []


def test_constant_nodes_hold_tensors_numbers_and_text() -> None:
    array = random_array(2, 3)
    nodes = [
        node("Constant", [], "a", value=tensor("", array)),
        node("Constant", [], "b", value_float=1.25),
        node("Constant", [], "c", value_floats=[1.0, -2.0]),
        node("Constant", [], "d", value_int=-7),
        node("Constant", [], "e", value_ints=[3, -4, 5]),
        node("Constant", [], "f", value_string="text"),
        node("Constant", [], "g", value_strings=["a", "b"]),
    ]
    found = read(model(nodes))
    assert list(found) == list("abcdefg")
    assert stored_bytes(found["a"]) == array.tobytes()
    assert stored_bytes(found["b"]) == np.float32(1.25).tobytes()
    assert stored_bytes(found["c"]) == np.array([1, -2], "f4").tobytes()
    assert stored_bytes(found["d"]) == np.int64(-7).tobytes()
    assert stored_bytes(found["e"]) == np.array([3, -4, 5], "i8").tobytes()
    assert (found["f"].shape, found["f"].location, found["f"].reason) == ((), None, "constant")
    assert (found["g"].shape, found["g"].location, found["g"].reason) == ((2,), None, "constant")


def test_what_torch_has_no_dtype_for_is_in_the_list_and_unreadable() -> None:
    six_bits = helper.make_tensor("q", TensorProto.FLOAT6E2M3, [4], bytes(3), raw=True)
    segmented = TensorProto(name="s", data_type=1, dims=[1], segment=TensorProto.Segment(begin=0, end=1))
    newer = TensorProto(name="n", data_type=99, dims=[1], raw_data=b"x")
    values = tensor("sparse", np.array([1.0, 2.0], "f4"))
    sparse = helper.make_sparse_tensor(values, tensor("i", np.array([0, 3], "i8")), [2, 2])
    built = model([node("Constant", [], "k", sparse_value=sparse)], [six_bits, segmented, newer])
    built.graph.sparse_initializer.append(sparse)
    found = read(built)
    assert {name: (t.shape, t.reason) for name, t in found.items()} == {
        "k": ((2, 2), "unreadable"),
        "q": ((4,), "unreadable"),
        "s": ((1,), "unreadable"),
        "n": ((1,), "unreadable"),
        "sparse": ((2, 2), "unreadable"),
    }


def test_tensors_of_no_elements_are_empty() -> None:
    assert read(model([], [tensor("e", np.zeros((0, 3), "f4"))]))["e"].reason == "empty"


def saved_outside(path: Path, **options: object) -> onnx.ModelProto:
    arrays = [random_array(8, 4, 3, 3), random_array(16, 8, 5, 5, seed=1)]
    names = ("w0", "w1")
    built = model(
        [node("Conv", ["x", "w0"], "h", "first"), node("Conv", ["h", "w1"], "y", "second")],
        [tensor(n, a) for n, a in zip(names, arrays, strict=True)],
    )
    onnx.save_model(built, path, save_as_external_data=True, size_threshold=0, **options)
    return onnx.load(path, load_external_data=False)


@pytest.mark.parametrize("one_file", [True, False])
def test_external_data_is_read_from_its_files(tmp_path: Path, *, one_file: bool) -> None:
    path = tmp_path / "model.onnx"
    options = {"location": "weights.bin"} if one_file else {}
    built = saved_outside(path, all_tensors_to_one_file=one_file, **options)
    files = Folder(path)
    assert READER.companion_paths(files.main) == (("weights.bin",) if one_file else ("w0", "w1"))
    found = read(path)
    for message in built.graph.initializer:
        stored = found[message.name]
        assert stored_bytes(stored) == reference(message, str(tmp_path))
        assert stored.convolution is not None
    if one_file:
        assert found["w1"].location is not None
        assert found["w1"].location.offset > 0


def outside(entry: dict[str, str], dims: tuple[int, ...] = (2,)) -> TensorProto:
    message = TensorProto(name="t", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entry.items():
        message.external_data.add(key=key, value=value)
    return message


@pytest.mark.parametrize("location", ["../w", "/etc/passwd", "a/../../w", "..\\w", "C:\\w", "C:w", "", "."])
def test_external_data_elsewhere_is_refused(location: str) -> None:
    data = model([], [outside({"location": location})]).SerializeToString()
    with pytest.raises(UnsafeFileError, match=r"model\.onnx: tensor 't'") as error:
        READER.companion_paths(MemoryFiles(data).main)
    assert "\n" not in str(error.value)
    with pytest.raises(UnsafeFileError):
        list(READER.tensors(MemoryFiles(data)))


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"offset": "4"}, TruncatedError),
        ({"offset": "99999999999999999999"}, FormatError),
        ({"offset": "-8"}, FormatError),
        ({"length": "4"}, FormatError),
        ({"length": "nine"}, FormatError),
    ],
)
def test_external_data_that_does_not_fit_its_file_is_refused(entry: dict[str, str], kind: type[Exception]) -> None:
    data = model([], [outside({"location": "w", **entry})]).SerializeToString()
    with pytest.raises(kind):
        list(READER.tensors(MemoryFiles(data, w=bytes(8))))


def test_companions_name_subgraphs_and_constants_once(tmp_path: Path) -> None:
    inner = onnx.GraphProto(node=[node("Constant", [], "c", value=outside({"location": "b"}))])
    nodes = [
        node("If", ["x"], "y", then_branch=inner),
        node("Constant", [], "d", value=outside({"location": "./a"})),
    ]
    data = model(nodes, [outside({"location": "b"})]).SerializeToString()
    assert READER.companion_paths(MemoryFiles(data).main) == ("b", "a")


@pytest.mark.parametrize(
    "message",
    [
        TensorProto(name="t", data_type=1, dims=[2], raw_data=bytes(7)),
        TensorProto(name="t", data_type=1, dims=[2]),
        TensorProto(name="t", data_type=1, dims=[3], float_data=[1, 2]),
        TensorProto(name="t", data_type=1, dims=[-1], raw_data=bytes(4)),
        TensorProto(name="t", data_type=1, dims=[2**40, 2**40], raw_data=bytes(4)),
        TensorProto(name="t", data_type=1, dims=[2**62, 0, 2**40]),
        TensorProto(name="t", data_type=1, dims=[1] * 64, raw_data=bytes(4)),
        TensorProto(name="t", data_type=7, dims=[2**50], int64_data=[1]),
        TensorProto(name="t", data_type=7, dims=[1], int64_data=[1, 2] * 9),
        TensorProto(name="t", dims=[1], raw_data=bytes(4)),
    ],
)
def test_a_shape_that_does_not_fit_its_numbers_is_refused(message: TensorProto) -> None:
    with pytest.raises(FormatError, match=r"^model.onnx: .*fetch it again$"):
        read(model([], [message]))


def test_varints_are_counted_when_they_are_read() -> None:
    stored = read(model([], [TensorProto(name="t", data_type=3, dims=[3], int32_data=[-1])]))["t"]
    with pytest.raises(CheckpointError, match="has the shape 3 but stores 1 numbers"):
        stored_bytes(stored)
