"""Small files of TFLite, Flax and Keras that ask for much: the budget of their checkpoint ends that with one line."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable

import flatbuffers
import h5py
import msgpack
import numpy as np
import pytest

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers.flax_msgpack import FlaxReader
from filtercrawl_plugins.readers.keras.datasets import LINK_COST, OBJECT_COST, Hdf5Arrays
from filtercrawl_plugins.readers.keras.readers import KerasHdf5Reader
from filtercrawl_plugins.readers.tflite.reader import TfliteReader, unique_name
from support.torch_files import OneFile

STEPS = r"has more than [\d,]+ steps of parsing, the limit of a file of [\d,]+ bytes; reading stopped$"
NAMES = "has a tensor with a name of 80,[0-9]+ characters; at most 4,096 are supported$"


def tflite(n_operators: int, inputs: list[int]) -> bytes:
    """Return a model whose operators are one table, with one list of inputs."""
    builder = flatbuffers.Builder(1024)
    given = builder.CreateNumpyVector(np.array(inputs, "int32"))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, given, 0)
    operator = builder.EndObject()
    operators = offsets(builder, [operator] * n_operators)
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(3, operators, 0)
    subgraphs = offsets(builder, [builder.EndObject()])
    builder.StartObject(1)
    codes = offsets(builder, [builder.EndObject()])
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(1, codes, 0)
    builder.PrependUOffsetTRelativeSlot(2, subgraphs, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


def offsets(builder: flatbuffers.Builder, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def array(size: int = 1) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(((size,), "float32", bytes(4 * size))))


def flax(rest: bytes) -> bytes:
    """Return a map with a small array, and a second value that is given."""
    return b"\x82" + msgpack.packb("w") + msgpack.packb(array()) + msgpack.packb("x") + rest


def long_list(item: bytes) -> bytes:
    return b"\xdd" + struct.pack(">I", 1_000_000) + item * 1_000_000


def extension(content: bytes) -> bytes:
    return b"\xc9" + struct.pack(">I", len(content)) + b"\x01" + content


def nested(levels: int, item: bytes) -> bytes:
    return (b"\x81" + msgpack.packb("k" * 4000)) * levels + item


def keras(fill: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        file.attrs["layer_names"] = ["conv"]
        file["conv/kernel"] = np.zeros((3, 3, 2, 4), "float32")
        fill(file)
    return buffer.getvalue()


def many_groups(file: h5py.File) -> None:
    for number in range(9000):
        file.create_group(str(number))


def long_paths(file: h5py.File) -> None:
    group = file
    for _ in range(3):
        group = group.create_group("k" * 2000)
    group["leaf"] = file["conv/kernel"]


@pytest.mark.parametrize(
    ("reader", "data", "match"),
    [
        (TfliteReader(), lambda: tflite(20_000, list(range(20_000))), STEPS),
        (FlaxReader(), lambda: flax(long_list(b"\xc0")), STEPS),
        (FlaxReader(), lambda: flax(extension(long_list(b"\xc0"))), STEPS),
        (FlaxReader(), lambda: flax(nested(20, msgpack.packb(array()))), NAMES),
        (KerasHdf5Reader(), lambda: keras(many_groups), STEPS),
        (KerasHdf5Reader(), lambda: keras(long_paths), "has deeper or longer paths than any checkpoint needs$"),
    ],
    ids=["shared operators", "list", "list in an array", "long names", "groups", "long paths"],
)
def test_a_file_that_asks_for_more_than_its_size_allows(
    reader: TfliteReader | FlaxReader | KerasHdf5Reader, data: Callable[[], bytes], match: str
) -> None:
    file = MemoryFile(data(), "x")
    assert reader.can_read(file)
    with pytest.raises(UnsafeFileError, match=f"^x: {match}"):
        list(reader.tensors(OneFile(file)))


def test_one_name_of_many_constants_takes_no_time() -> None:
    began = time.process_time()
    names: dict[str, int] = {}
    assert [unique_name(name, names) for name in ("x", "x#2", "x", "x", "x#2")] == ["x", "x#2", "x#3", "x#4", "x#2#2"]
    for _ in range(20_000):
        unique_name("y", names)
    assert "y#20000" in names
    assert time.process_time() - began < 2


def test_an_array_of_hdf5_with_many_names_is_opened_once() -> None:
    def links(file: h5py.File) -> None:
        for number in range(2000):
            file[f"conv/{number}"] = file["conv/kernel"]

    file = MemoryFile(keras(links), "x")
    budget = Budget(file)
    before = budget.steps
    assert len(list(Hdf5Arrays(file, budget).arrays())) == 2001
    assert before - budget.steps == 2002 * LINK_COST + 2 * OBJECT_COST


def test_texts_of_hdf5_that_are_many_or_no_text_are_not_read() -> None:
    def texts(file: h5py.File) -> None:
        file.attrs["model_config"] = ["{" * 1000] * 100
        file["conv"].attrs["name"] = np.float32(1)

    (tensor,) = KerasHdf5Reader().tensors(OneFile(MemoryFile(keras(texts), "x")))
    assert tensor.name == "conv/kernel"


def test_a_compound_type_is_named_and_not_described() -> None:
    def compound(file: h5py.File) -> None:
        file.create_dataset("table", shape=(2,), dtype=[(f"field{number}", "f4") for number in range(100)])

    tensors = {tensor.name: tensor for tensor in KerasHdf5Reader().tensors(OneFile(MemoryFile(keras(compound), "x")))}
    assert (tensors["table"].dtype, tensors["table"].reason) == ("compound", "unreadable")
