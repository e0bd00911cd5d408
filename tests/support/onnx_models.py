"""Builds ONNX models for tests and reads them back through the reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from filtercrawl.api.local_file import LocalFile
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.vocabulary import REASONS
from filtercrawl.extraction.to_float32 import read_float32
from filtercrawl_plugins.readers.onnx import OnnxReader

READER = OnnxReader()


class MemoryFiles:
    """A checkpoint in memory."""

    def __init__(self, main: bytes, **others: bytes) -> None:
        self.main: RandomAccessFile = MemoryFile(main, "model.onnx")
        self._others = others

    def open(self, path: str) -> RandomAccessFile:
        return MemoryFile(self._others[path], path)


class Folder:
    """A checkpoint on this machine."""

    def __init__(self, main: Path) -> None:
        self.main = LocalFile(main)
        self._folder = main.parent

    def open(self, path: str) -> RandomAccessFile:
        return LocalFile(self._folder / path)


def random_array(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape) * 50
    return np.asarray(values).astype(dtype)


def tensor(name: str, array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def node(op: str, inputs: Sequence[str], output: str, name: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [output], name=name, **attributes)


def model(
    nodes: Iterable[onnx.NodeProto],
    initializers: Iterable[TensorProto] = (),
    functions: Iterable[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", [x], [y], list(initializers))
    return helper.make_model(graph, functions=list(functions), ir_version=10)


def branch(nodes: Iterable[onnx.NodeProto], initializers: Iterable[TensorProto] = ()) -> onnx.GraphProto:
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [y], list(initializers))


def read(source: onnx.ModelProto | bytes | Path) -> dict[str, StoredTensor]:
    """Read every tensor, by name, and check what holds for all of them."""
    if isinstance(source, Path):
        files: MemoryFiles | Folder = Folder(source)
    else:
        files = MemoryFiles(source if isinstance(source, bytes) else source.SerializeToString())
    assert READER.can_read(files.main)
    found = list(READER.tensors(files))
    by_name = {t.name: t for t in found}
    assert len(by_name) == len(found)
    for t in found:
        assert t.key == t.name
        assert (t.convolution is None) != (t.reason is None)
        assert t.reason is None or t.reason in REASONS
        assert t.location is not None or t.reason is not None
    return by_name


def stored_bytes(stored: StoredTensor) -> bytes:
    assert stored.location is not None
    assert stored.location.shape == stored.shape
    return stored.location.read(tuple((0, n) for n in stored.shape)).tobytes()


def weight_of(stored: StoredTensor) -> np.ndarray:
    """Return the weight that the network convolves with, as the dataset holds it but for the order of channels."""
    whole = tuple((0, n) for n in stored.weight_shape)
    if stored.weight is not None:
        return stored.weight.read_float32(whole)
    assert stored.location is not None
    return read_float32(stored.location, whole, stored.quantization).numpy()


def reference(message: TensorProto, folder: str = "") -> bytes:
    """Return what the onnx library reads, as bytes."""
    return np.ascontiguousarray(numpy_helper.to_array(message, folder)).tobytes()


def all_tensors(graph: onnx.GraphProto) -> Iterable[TensorProto]:
    """Yield the dense tensors of a graph and of its subgraphs, in no order that matters."""
    yield from graph.initializer
    for n in graph.node:
        for attribute in n.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for subgraph in (attribute.g, *attribute.graphs):
                yield from all_tensors(subgraph)
