"""What is fuzzed: functions of bytes that may end in one of filtercrawl's own errors, and in nothing else."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from filtercrawl.api.errors import CheckpointError, DatasetError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import Reader, read_content
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE
from filtercrawl.dataset.card.yaml_header import render_header, split_header
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.range_planning import Range, intersection, normalize_ranges, plan_fetch, subtract
from filtercrawl_plugins import cnn_filter_db
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.flatbuffers import FlatFile, Table
from filtercrawl_plugins.formats.json_text import parse_json
from filtercrawl_plugins.formats.msgpack import MessagePackReader
from filtercrawl_plugins.formats.pickle import Cursor, unpickle
from filtercrawl_plugins.formats.protobuf import WireReader
from filtercrawl_plugins.formats.zip import ZipArchive
from filtercrawl_plugins.readers import (
    flax_msgpack,
    keras,
    npz,
    onnx,
    pickled_arrays,
    safetensors,
    sharded,
    tflite,
    torch,
)

# Of a checkpoint, the numbers of so many tensors are read, each of at most so many elements.
_MAX_TENSORS: Final = 32
_MAX_ELEMENTS: Final = 4096
_MAX_ENTRIES: Final = 32
_MAX_ENTRY_BYTES: Final = 1 << 20
_MAX_LEVELS: Final = 16
_MAX_TABLES: Final = 64
_MAX_FIELDS: Final = 32


@dataclass(frozen=True, kw_only=True)
class Target:
    """A function that is fuzzed.

    Attributes:
        name: Its name, also that of its folder of inputs.
        run: Takes any bytes; what it raises is a finding.
        form: What valid inputs are made of, a key of `fuzzing.mutations.FORMS`.
    """

    name: str
    run: Callable[[bytes], None]
    form: str = "bytes"


class OneFile:
    """A checkpoint of one file, which also stands for each file that it names."""

    def __init__(self, main: RandomAccessFile) -> None:
        self.main = main

    def open(self, path: str) -> RandomAccessFile:
        """Return the file itself."""
        return MemoryFile(self.main.read(0, self.main.size), path)

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        """Yield one tensor without numbers."""
        yield StoredTensor(name=path, key=path, shape=(1, 1, 3, 3), dtype="float32", location=None)


def read_checkpoint(reader: Reader, data: bytes) -> None:
    """Read a file as `sync` does, if the reader claims it: companions, structure, then numbers."""
    files = OneFile(MemoryFile(data, "input"))
    if not reader.can_read(files.main):
        return
    try:
        reader.companion_paths(files.main)
        for tensor in read_content(reader, files).tensors[:_MAX_TENSORS]:
            for part in tensor.parts or (tensor,):
                read_numbers(part)
    except CheckpointError as error:
        check_message(error)


def read_numbers(tensor: StoredTensor) -> None:
    """Read a tensor, and the weight that is computed from it, if they are small."""
    location = tensor.location
    if location is not None and math.prod(location.shape) <= _MAX_ELEMENTS:
        raw = location.read(tuple((0, size) for size in location.shape))
        assert raw.nbytes == math.prod(location.shape) * ITEMSIZE[location.dtype]
    if tensor.weight is not None and math.prod(tensor.weight.shape) <= _MAX_ELEMENTS:
        weight = tensor.weight.read_float32(tuple((0, size) for size in tensor.weight.shape))
        assert weight.shape == tensor.weight.shape


def check_message(error: Exception) -> None:
    """Require of an error that it is one line which a terminal can show."""
    text = str(error)
    assert text, "an error without a message"
    assert text.isprintable(), f"an error that is no line of text: {text!r}"
    assert len(text) < 2_000, f"an error of {len(text)} characters"


def parse(read: Callable[[RandomAccessFile, Budget], None], data: bytes) -> None:
    """Call a parser."""
    file = MemoryFile(data, "input")
    try:
        read(file, Budget(file))
    except CheckpointError as error:
        check_message(error)


def read_pickle(file: RandomAccessFile, budget: Budget) -> None:
    """Read every pickle of a file, one after the other."""
    cursor = Cursor(file)
    while cursor.position < file.size:
        unpickle(cursor, budget)


def read_protobuf(file: RandomAccessFile, budget: Budget) -> None:
    """Walk a message; each field is taken for integers, for text and for a message."""
    wire = WireReader(file, budget)
    waiting = [(0, file.size, 0)]
    while waiting:
        start, end, level = waiting.pop()
        try:
            for field in wire.fields(start, end):
                if field.wire_type != 2:
                    continue
                list(wire.read_integers(field)) if field.number % 2 else wire.read_text(field)
                if level < _MAX_LEVELS:
                    waiting.append((field.start, field.end, level + 1))
        except CheckpointError as error:
            check_message(error)


def read_zip(file: RandomAccessFile, budget: Budget) -> None:
    """Read the entries of an archive, whole and from the middle."""
    archive = ZipArchive(file, budget)
    for name in list(archive.entries)[:_MAX_ENTRIES]:
        data = archive.read(name, _MAX_ENTRY_BYTES)
        opened = archive.open(name)
        middle = opened.size // 2
        assert opened.read(middle, opened.size - middle) == data[middle:]


def read_flatbuffers(file: RandomAccessFile, budget: Budget) -> None:
    """Walk tables from the root on, each once; fields are taken for each kind of value."""
    waiting = [FlatFile(file, Budget(file)).root()]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_TABLES:
        table = waiting.pop()
        if table.position in seen:
            continue
        seen.add(table.position)
        budget.spend(1)
        for number in range(min((table.vtable_size - 4) // 2, _MAX_FIELDS)):
            waiting += _look_at(table, number)


def _look_at(table: Table, number: int) -> list[Table]:
    found: list[Table] = []
    for look in (
        lambda: table.number(number, "<q"),
        lambda: table.text(number),
        lambda: table.integers(number, "i"),
        lambda: table.numbers(number, "d"),
        lambda: found.extend(filter(None, [table.table(number)])),
        lambda: found.extend(table.tables(number)),
    ):
        try:
            look()
        except CheckpointError as error:
            check_message(error)
    return found


def read_msgpack(file: RandomAccessFile, budget: Budget) -> None:
    """Read every leaf."""
    for path, _ in MessagePackReader(file, Budget(file)).leaves():
        budget.spend(len(path))


def read_json(file: RandomAccessFile, budget: Budget) -> None:  # noqa: ARG001 - as the others
    """Read a text, which Python's own parser must then read as well."""
    data = file.read(0, file.size)
    value = parse_json(data, file.name)
    assert repr(value) == repr(json.loads(data))


def read_card(data: bytes) -> None:
    """Read the header of a card; written again, it must say the same."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    try:
        header, _ = split_header("README.md", text)
    except DatasetError as error:
        check_message(error)
        return
    written = render_header(header, [None], (), "a/b")
    again, _ = split_header("README.md", f"---\n{written}---\n")
    assert ordered(again) == ordered(header)


def ordered(value: object) -> str:
    """Return the `repr` of a value of YAML with its sets in order: nan equals nan, and 1 is not 1.0."""
    match value:
        case dict():
            return repr([(ordered(key), ordered(item)) for key, item in value.items()])
        case list() | tuple():
            return repr([ordered(item) for item in value])
        case set():
            return repr(("set", sorted(ordered(item) for item in value)))
        case _:
            return repr(value)


def plan_ranges(data: bytes) -> None:
    """Plan what is fetched of a file, and compare with sets of bytes where these are small."""
    n_wanted, scale, gap = (*data[:3], 0, 0, 0)[:3]
    numbers = [number[0] << (scale % 55) for number in struct.iter_unpack("B", data[3:])]
    pairs: list[Range] = list(zip(numbers[::2], numbers[1::2], strict=False))
    wanted, missing = pairs[: n_wanted % 64], pairs[n_wanted % 64 :]
    link = LinkEstimate(latency=gap / 256, fixed_gap=gap if n_wanted & 64 else None)
    plan = plan_fetch(wanted, missing, link)
    assert all(first[1] <= second[0] for first, second in pairwise(plan.ranges))
    gaps = normalize_ranges(missing)
    needed = intersection(normalize_ranges(wanted), gaps)
    assert subtract(needed, plan.ranges) == ()
    assert subtract(plan.ranges, gaps) == ()
    if not scale:
        held = {byte for start, stop in plan.ranges for byte in range(start, stop)}
        absent = {byte for start, stop in missing for byte in range(start, stop)}
        assert {byte for start, stop in wanted for byte in range(start, stop)} & absent <= held <= absent


def _readers() -> Iterator[Target]:
    forms = {
        "safetensors": "safetensors", "torch-zip": "zip", "torchscript": "zip", "torch-export": "zip", "npz": "zip",
        "keras": "zip", "onnx": "protobuf", "torch-legacy": "pickle", "pickle": "pickle", "torch-distributed": "pickle",
    }  # fmt: skip
    for module in (safetensors, sharded, torch, npz, pickled_arrays, tflite, flax_msgpack, keras, onnx, cnn_filter_db):
        for reader in module.filtercrawl_readers():
            yield Target(name=reader.name, run=partial(read_checkpoint, reader), form=forms.get(reader.name, "bytes"))


def _parsers() -> Iterator[Target]:
    yield Target(name="parse-pickle", run=partial(parse, read_pickle), form="pickle")
    yield Target(name="parse-protobuf", run=partial(parse, read_protobuf), form="protobuf")
    yield Target(name="parse-zip", run=partial(parse, read_zip), form="zip")
    yield Target(name="parse-flatbuffers", run=partial(parse, read_flatbuffers))
    yield Target(name="parse-msgpack", run=partial(parse, read_msgpack))
    yield Target(name="parse-json", run=partial(parse, read_json))
    yield Target(name="parse-card", run=read_card)
    yield Target(name="plan-ranges", run=plan_ranges)


TARGETS: Final = {target.name: target for target in (*_readers(), *_parsers())}
