"""Where the kernels of a checkpoint lie, found without the readers of filtercrawl."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import onnx

# Paths beside the main file -> (start, stop), in order.
Golden = dict[str, list[tuple[int, int]]]
_ITEMSIZE: Final = {"FloatStorage": 4, "HalfStorage": 2, "LongStorage": 8}
_LOCAL_HEADER: Final = struct.Struct("<26xHH")


def golden(path: Path, form: str, kernels: Collection[str]) -> Golden:
    """Return the bytes of these tensors, by the path of their file beside `path`. form: a word of `FORMATS`."""
    found = FORMATS[form](path, kernels)
    assert len(kernels) == sum(map(len, found.values())), f"{path}: {found}"
    return {name: sorted(ranges) for name, ranges in found.items()}


def _safetensors(path: Path, kernels: Collection[str]) -> Golden:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    spans = [header[name]["data_offsets"] for name in header if name in kernels]
    return {path.name: [(8 + length + start, 8 + length + stop) for start, stop in spans]}


def _torch_zip(path: Path, kernels: Collection[str]) -> Golden:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        state = _Storages(io.BytesIO(archive.read(pickled))).load()
        members = {state[name][0]: name for name in state if name in kernels}
        folder = pickled.removesuffix("data.pkl") + "data/"
        ranges = [_stored(path, archive.getinfo(folder + key)) for key in members]
    return {path.name: ranges}


def _torch_legacy(path: Path, kernels: Collection[str]) -> Golden:
    """Magic, protocol and system, the state dict, the keys of the storages, and each: its length, its numbers."""
    ranges = []
    with path.open("rb") as file:
        for _ in range(3):
            _Storages(file).load()
        state = _Storages(file).load()
        keys = _Storages(file).load()
        wanted = {state[name][0] for name in state if name in kernels}
        sizes = {key: size for key, size, _ in state.values()}
        items = {key: itemsize for key, _, itemsize in state.values()}
        for key in keys:
            (size,) = struct.unpack("<q", file.read(8))
            assert size == sizes[key]
            start = file.tell()
            file.seek(size * items[key], io.SEEK_CUR)
            if key in wanted:
                ranges.append((start, file.tell()))
    return {path.name: ranges}


def _npz(path: Path, kernels: Collection[str]) -> Golden:
    ranges = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.removesuffix(".npy") in kernels:
                start, stop = _stored(path, info)
                with archive.open(info) as member:
                    np.lib.format.read_magic(member)
                    np.lib.format.read_array_header_1_0(member)
                    ranges.append((start + member.tell(), stop))
    return {path.name: ranges}


def _onnx(path: Path, kernels: Collection[str]) -> Golden:
    """The initializers stand in the order of the message: each is searched behind the one before."""
    found: Golden = {}
    model = onnx.load(path, load_external_data=False)
    data = path.read_bytes() if any(tensor.raw_data for tensor in model.graph.initializer) else b""
    at = 0
    for tensor in model.graph.initializer:
        if tensor.name not in kernels:
            continue
        if tensor.external_data:
            about = {entry.key: entry.value for entry in tensor.external_data}
            start = int(about["offset"])
            found.setdefault(about["location"], []).append((start, start + int(about["length"])))
        else:
            start = data.index(tensor.raw_data, at)
            at = start + len(tensor.raw_data)
            found.setdefault(path.name, []).append((start, at))
    return found


def _sharded(each: Callable[[Path, Collection[str]], Golden]) -> Callable[[Path, Collection[str]], Golden]:
    def read(path: Path, kernels: Collection[str]) -> Golden:
        found: Golden = {}
        for shard in sorted(set(json.loads(path.read_bytes())["weight_map"].values())):
            found |= each(path.parent / shard, kernels)
        return found

    return read


def _stored(path: Path, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of an uncompressed member lie: its local header has lengths of its own."""
    assert info.compress_type == zipfile.ZIP_STORED
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name + extra
    return start, start + info.file_size


class _Storages(pickle.Unpickler):
    """Loads a state dict that this benchmark wrote, with (key, numbers, itemsize) of its storage for each tensor."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        if name == "OrderedDict":
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, *_: storage
        assert module == "torch", (module, name)
        return _ITEMSIZE[name]

    def persistent_load(self, saved: Any) -> tuple[str, int, int]:
        _, itemsize, key, _, size, *_ = saved
        return key, size, itemsize


FORMATS: Final[Mapping[str, Callable[[Path, Collection[str]], Golden]]] = {
    "safetensors": _safetensors,
    "torch": _torch_zip,
    "legacy": _torch_legacy,
    "npz": _npz,
    "onnx": _onnx,
    "onnx-external": _onnx,
    "sharded-safetensors": _sharded(_safetensors),
    "sharded-torch": _sharded(_torch_zip),
}
