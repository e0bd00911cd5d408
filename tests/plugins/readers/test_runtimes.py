"""What ONNX Runtime and LiteRT compute with a file is what torch computes with the kernels that are read from it.

The runtimes are too large for the extra `test`: `pip install onnxruntime ai-edge-litert`.
"""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl_plugins.readers.tflite.reader import TfliteReader
from support import onnx_models
from support.onnx_models import node, random_array, read, stored_bytes, tensor, weight_of
from support.tflite_models import Node, Tensor, model
from support.torch_files import OneFile

CONV, DEPTHWISE, DEQUANTIZE, TRANSPOSED = 3, 4, 6, 67
VALID_STRIDE_1 = {0: ("int8", 1), 1: ("int32", 1), 2: ("int32", 1)}
# The options of a depthwise convolution have the number of kernels of a channel after the strides.
OF_DEPTHWISE = {**VALID_STRIDE_1, 3: ("int32", 2)}
KINDS = {"depthwise": 2, "transposed": 49}
SHIPPED = [Path(str(file.locate())) for file in files("speechmos") or [] if file.suffix == ".onnx"]


def computed_by_onnx_runtime(
    nodes: list[onnx.NodeProto], constants: list[TensorProto], names: list[str]
) -> list[np.ndarray]:
    """Let ONNX Runtime compute float32 tensors from constants."""
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(nodes, "g", [], outputs, constants)
    built = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    session = runtime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(names, {}))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_onnx_runtime_loads_the_same_numbers(path: Path) -> None:
    graph = onnx.load(path).graph
    constants = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 2]
    nodes = [node("Identity", [t.name], f"loaded {t.name}") for t in constants]
    loaded = computed_by_onnx_runtime(nodes, constants, [n.output[0] for n in nodes])
    found = read(path)
    assert [stored_bytes(found[t.name]) for t in constants] == [value.tobytes() for value in loaded]


CODES, SCALES = random_array(6, 4, 3, 3, dtype="int8"), random_array(6)
CHAINS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "dequantized": (
        [node("DequantizeLinear", ["q", "s", "z"], "w", axis=0)],
        {"q": CODES, "s": SCALES, "z": np.arange(-3, 3, dtype="i1")},
    ),
    "dequantized by blocks": (
        [node("DequantizeLinear", ["q", "s"], "w", axis=1, block_size=2)],
        {"q": CODES, "s": random_array(6, 2, 3, 3)},
    ),
    "fake quantized": (
        [
            node("QuantizeLinear", ["v", "s", "z"], "c", axis=0),
            node("DequantizeLinear", ["c", "s", "z"], "w", axis=0),
        ],
        {"v": random_array(6, 4, 3, 3), "s": np.abs(SCALES) / 50, "z": np.zeros(6, "i1")},
    ),
    "of half precision": (
        [node("Cast", ["h"], "w", to=TensorProto.FLOAT)],
        {"h": random_array(6, 4, 3, 3, dtype="f2")},
    ),
    "turned, cut and padded": (
        [
            node("Transpose", ["v"], "t", perm=[3, 2, 0, 1]),
            node("Slice", ["t", "starts", "ends", "axes", "steps"], "p"),
            node("Pad", ["p", "pads", "", "axes"], "w", mode="reflect"),
        ],
        {
            "v": random_array(5, 3, 4, 8),
            "starts": np.array([4, 0]), "ends": np.array([-9, 3]), "axes": np.array([2, 3]),
            "steps": np.array([-2, 1]), "pads": np.array([1, 0, 0, 1]),
        },
    ),
    "scaled as a normalized one": (
        [
            node("Mul", ["v", "gain"], "m"),
            node("Div", ["m", "norm"], "d"),
            node("Clip", ["d", "", "high"], "w"),
        ],
        {
            "v": random_array(6, 4, 3, 3), "gain": random_array(6, 1, 1, 1), "norm": SCALES[:, None, None, None],
            "high": np.float32(9),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
def test_onnx_runtime_computes_the_same_weights(chain: str) -> None:
    nodes, arrays = CHAINS[chain]
    constants = [tensor(name, array) for name, array in arrays.items()]
    (expected,) = computed_by_onnx_runtime(nodes, constants, ["w"])
    stored = read(onnx_models.model([*nodes, node("Conv", ["x", "w"], "y")], constants))
    (weight,) = (t for t in stored.values() if t.convolution is not None)
    np.testing.assert_array_equal(weight_of(weight), expected)


def kernel(data: bytes) -> np.ndarray:
    """Return the one kernel of a TFLite file, `[out, in/groups, height, width]`."""
    (layer,) = classify_tensors(TfliteReader().tensors(OneFile(MemoryFile(data, "m.tflite"))), "all").layers
    return to_float32(layer, 0, layer.shape[0], torch.device("cpu")).numpy()


def computed_by_litert(data: bytes, image: np.ndarray) -> np.ndarray:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="needs the package ai-edge-litert")
    running = interpreter.Interpreter(model_content=data)
    running.allocate_tensors()
    running.set_tensor(running.get_input_details()[0]["index"], image)
    running.invoke()
    return np.asarray(running.get_tensor(running.get_output_details()[0]["index"]))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("op", ["conv", "grouped", "depthwise", "transposed"])
def test_litert_convolves_with_the_same_kernels(op: str, half: bool) -> None:
    shape = {"conv": (5, 3, 2, 4), "grouped": (6, 3, 2, 2), "depthwise": (1, 3, 2, 8), "transposed": (5, 3, 2, 4)}[op]
    stored = np.random.default_rng(0).standard_normal(shape).astype("f2" if half else "f4")
    image = np.random.default_rng(1).standard_normal((1, 7, 6, 4)).astype("f4")
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    code = {"depthwise": DEPTHWISE, "transposed": TRANSPOSED}.get(op, CONV)
    size = (9, 7) if op == "transposed" else (5, 5)
    channels = shape[3] if op == "depthwise" else shape[0]
    tensors = [
        Tensor(name="x", shape=image.shape),
        Tensor(name="stored", shape=shape, data=stored, dtype=str(stored.dtype)),
        Tensor(name="bias", shape=(channels,), data=np.zeros(channels, "f4")),
        Tensor(name="y", shape=(1, *size, channels)),
    ]
    weight, nodes = "stored", []
    if half:
        tensors.append(Tensor(name="weight", shape=shape))
        nodes, weight = [Node(code=DEQUANTIZE, inputs=["stored"], outputs=["weight"], kind_of_options=38)], "weight"
    operands, options = ["x", weight, "bias"], OF_DEPTHWISE if op == "depthwise" else VALID_STRIDE_1
    if op == "transposed":
        tensors.append(Tensor(name="size", shape=(4,), data=np.array([1, *size, channels], "i4"), dtype="int32"))
        operands = ["size", weight, "x"]
    nodes.append(Node(code=code, inputs=operands, outputs=["y"], options=options, kind_of_options=KINDS.get(op, 1)))
    data = model(tensors, nodes, inputs=["x"], outputs=["y"])
    expected = torch.from_numpy(computed_by_litert(data, image)).permute(0, 3, 1, 2)
    found = torch.from_numpy(kernel(data))
    if op == "transposed":
        ours = torch.nn.functional.conv_transpose2d(x, found.transpose(0, 1))
    else:
        ours = torch.nn.functional.conv2d(x, found, groups=x.shape[1] // found.shape[1])
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
