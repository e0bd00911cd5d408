"""The scale of a ConvInteger's weight is found behind it, in the ways in which quantizers write it, or not at all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from filtercrawl.api.tensor import StoredTensor
from support.onnx_models import model, node, random_array, read, tensor, weight_of

CODES = np.random.default_rng(0).integers(0, 256, (5, 3, 3, 3)).astype("u1")
ZERO = np.uint8(131)
CONSTANTS = {
    "w": CODES,
    "wz": ZERO,
    "ws": np.float32(0.0123),
    "ws_channels": random_array(5, 1, 1).astype("f4"),
    "ws_row": random_array(5),
    "ws_column": random_array(5, 1),
    "ws_deep": random_array(1, 5, 1, 1, 1),
    "axis_3": np.array([3]),
    "axis_4": np.array([4]),
    "half": np.float32(0.5),
    "bias": np.arange(5, dtype="f4").reshape(1, 5, 1, 1),
    "int_bias": np.arange(5, dtype="i4").reshape(1, 5, 1, 1),
    "static": np.float32(0.3),
    "static_zero": np.uint8(7),
    "product": np.float32(0.3) * np.float32(0.0123),
    "flat": np.array([0, 5, -1]),
    "mixing": np.array([-1, 5, 4]),
}


def dynamic() -> onnx.NodeProto:
    made = node("DynamicQuantizeLinear", ["x"], "xq")
    made.output.extend(["xs", "xz"])
    return made


def convolved(nodes: Iterable[onnx.NodeProto], given: str = "xq") -> dict[str, StoredTensor]:
    conv = node("ConvInteger", [given, "w", "xz", "wz"], "i", "conv")
    built = model([dynamic(), conv, *nodes], [tensor(name, array) for name, array in CONSTANTS.items()])
    return read(built)


def expected(scale: np.ndarray) -> np.ndarray:
    return (CODES.astype("i4") - 131).astype("f4") * np.asarray(scale, "f4").reshape(-1, 1, 1, 1)


CAST = node("Cast", ["i"], "f", to=TensorProto.FLOAT)
SCALES = node("Mul", ["xs", "ws"], "scales")
DYNAMIC = {
    "cast, product": [SCALES, CAST, node("Mul", ["f", "scales"], "y")],
    "factors the other way around": [
        node("Mul", ["ws", "xs"], "scales"),
        CAST,
        node("Mul", ["scales", "f"], "y"),
    ],
    "bias in codes before the cast": [
        SCALES,
        node("Div", ["bias", "scales"], "b1"),
        node("Floor", ["b1"], "b2"),
        node("Cast", ["b2"], "b3", to=TensorProto.INT32),
        node("Add", ["b3", "i"], "d"),
        node("Cast", ["d"], "f", to=TensorProto.FLOAT),
        node("Mul", ["f", "scales"], "y"),
    ],
    "bias after the cast": [SCALES, CAST, node("Add", ["f", "bias"], "d"), node("Mul", ["d", "scales"], "y")],
    "bias after the scale": [SCALES, CAST, node("Mul", ["f", "scales"], "d"), node("Add", ["d", "bias"], "y")],
    "two products": [CAST, node("Mul", ["f", "xs"], "d"), node("Mul", ["d", "ws"], "y")],
    "two products, the weight's first": [CAST, node("Mul", ["f", "ws"], "d"), node("Mul", ["xs", "d"], "y")],
    "a reshape and an identity between": [
        SCALES,
        CAST,
        node("Reshape", ["f", "flat"], "r"),
        node("Identity", ["r"], "j"),
        node("Mul", ["j", "scales"], "y"),
    ],
    "a learned gain behind": [
        SCALES,
        CAST,
        node("Mul", ["f", "scales"], "d"),
        node("Add", ["d", "bias"], "e"),
        node("Mul", ["e", "half"], "y"),
    ],
}


@pytest.mark.parametrize("nodes", DYNAMIC.values(), ids=DYNAMIC)
def test_the_scale_of_a_dynamically_quantized_convolution(nodes: list[onnx.NodeProto]) -> None:
    found = convolved(nodes)
    np.testing.assert_array_equal(weight_of(found["w"]), expected(CONSTANTS["ws"]))
    assert found["w"].notes == ("dequantized",)
    assert found["wz"].reason == "quantization"


def test_a_product_of_three_factors_is_taken_apart() -> None:
    nodes = [SCALES, node("Mul", ["half", "scales"], "all"), CAST, node("Mul", ["f", "all"], "y")]
    np.testing.assert_array_equal(weight_of(convolved(nodes)["w"]), expected(np.float32(0.0123) * np.float32(0.5)))


def test_scales_of_channels_are_aligned_with_the_channels() -> None:
    nodes = [node("Mul", ["xs", "ws_channels"], "scales"), CAST, node("Mul", ["f", "scales"], "y")]
    np.testing.assert_array_equal(weight_of(convolved(nodes)["w"]), expected(CONSTANTS["ws_channels"]))


FOLLOWED = {
    "axes joined": ([node("Reshape", ["f", "flat"], "m")], "ws_column"),
    "channels last": ([node("Transpose", ["f"], "m", perm=[0, 2, 3, 1])], "ws_row"),
    "there and back": (
        [node("Transpose", ["f"], "n", perm=[0, 2, 3, 1]), node("Transpose", ["n"], "m", perm=[0, 3, 1, 2])],
        "ws_channels",
    ),
    "an axis more": ([node("Unsqueeze", ["f", "axis_4"], "m")], "ws_deep"),
    "an axis less": ([node("Squeeze", ["f", "axis_3"], "m")], "ws_column"),
}


@pytest.mark.parametrize(("nodes", "scale"), FOLLOWED.values(), ids=FOLLOWED)
def test_channels_are_followed_through_changes_of_layout(nodes: list[onnx.NodeProto], scale: str) -> None:
    nodes = [node("Mul", ["xs", scale], "scales"), CAST, *nodes, node("Mul", ["m", "scales"], "y")]
    np.testing.assert_array_equal(weight_of(convolved(nodes)["w"]), expected(CONSTANTS[scale]))


def test_the_codes_may_pass_other_operators_before_the_convolution() -> None:
    nodes = [node("MaxPool", ["xq"], "p", kernel_shape=[2, 2]), SCALES, CAST, node("Mul", ["f", "scales"], "y")]
    np.testing.assert_array_equal(weight_of(convolved(nodes, "p")["w"]), expected(CONSTANTS["ws"]))


QUANTIZE = node("QuantizeLinear", ["x", "static", "static_zero"], "q")
STATIC = {
    "one constant": ([CAST, node("Mul", ["f", "product"], "y")], CONSTANTS["product"] / CONSTANTS["static"]),
    "one constant and a bias": (
        [
            node("Add", ["i", "int_bias"], "d"),
            node("Cast", ["d"], "f", to=TensorProto.FLOAT),
            node("Mul", ["f", "product"], "e"),
            node("Add", ["e", "bias"], "y"),
        ],
        CONSTANTS["product"] / CONSTANTS["static"],
    ),
    "both scales": (
        [node("Mul", ["static", "ws"], "scales"), CAST, node("Mul", ["f", "scales"], "y")],
        CONSTANTS["ws"],
    ),
    "one after the other": ([CAST, node("Mul", ["f", "ws"], "d"), node("Mul", ["d", "static"], "y")], CONSTANTS["ws"]),
}


@pytest.mark.parametrize(("nodes", "scale"), STATIC.values(), ids=STATIC)
def test_the_scale_of_a_statically_quantized_convolution(nodes: list[onnx.NodeProto], scale: np.ndarray) -> None:
    np.testing.assert_array_equal(weight_of(convolved([QUANTIZE, *nodes], "q")["w"]), expected(scale))


UNKNOWN = {
    "no scale": [CAST],
    "only the scale of the input": [CAST, node("Mul", ["f", "xs"], "y")],
    "the scale of the input twice": [node("Mul", ["xs", "xs"], "scales"), CAST, node("Mul", ["f", "scales"], "y")],
    "a scale of another input": [
        node("ReduceMean", ["x"], "m"),
        node("Mul", ["m", "ws"], "scales"),
        CAST,
        node("Mul", ["f", "scales"], "y"),
    ],
    "a scale of the last axis": [node("Mul", ["xs", "ws_row"], "scales"), CAST, node("Mul", ["f", "scales"], "y")],
    "a scale of channels behind a change of layout": [
        node("Mul", ["xs", "ws_channels"], "scales"),
        CAST,
        node("Reshape", ["f", "flat"], "r"),
        node("Mul", ["r", "scales"], "y"),
    ],
    "channels joined with another axis": [
        node("Mul", ["xs", "ws_row"], "scales"),
        CAST,
        node("Flatten", ["f"], "r"),
        node("Mul", ["r", "scales"], "y"),
    ],
    "a shape that may mix images and channels": [
        node("Mul", ["xs", "ws_column"], "scales"),
        CAST,
        node("Reshape", ["f", "mixing"], "r"),
        node("Mul", ["r", "scales"], "y"),
    ],
    "codes again": [SCALES, CAST, node("Mul", ["f", "scales"], "d"), node("Round", ["d"], "y")],
    "an activation between": [SCALES, CAST, node("Sigmoid", ["f"], "g"), node("Mul", ["g", "scales"], "y")],
    "two uses of the result": [SCALES, CAST, node("Mul", ["f", "scales"], "y"), node("Relu", ["f"], "z")],
}


@pytest.mark.parametrize("nodes", UNKNOWN.values(), ids=UNKNOWN)
def test_codes_are_no_weights_where_the_scale_cannot_be_followed(nodes: list[onnx.NodeProto]) -> None:
    found = convolved(nodes)
    assert (found["w"].reason, found["w"].convolution) == ("quantized_codes", None)


def test_codes_of_an_input_that_is_quantized_elsewhere_are_no_weights() -> None:
    nodes = [node("Cast", ["x"], "u", to=TensorProto.UINT8), CAST, node("Mul", ["f", "product"], "y")]
    assert convolved(nodes, "u")["w"].reason == "quantized_codes"


def test_the_network_convolves_with_the_weight_that_is_found() -> None:
    nodes = DYNAMIC["bias in codes before the cast"]
    conv = node("ConvInteger", ["xq", "w", "xz", "wz"], "i", "conv")
    given = ["w", "wz", "ws", "bias"]
    built = model([dynamic(), conv, *nodes], [tensor(name, CONSTANTS[name]) for name in given])
    x = random_array(1, 3, 6, 6)
    y = ReferenceEvaluator(built).run(None, {"x": x})[0]
    weight = weight_of(read(built)["w"])
    reference = model(
        [node("Conv", ["x", "k", "b"], "y")], [tensor("k", weight), tensor("b", np.arange(5, dtype="f4"))]
    )
    real = ReferenceEvaluator(reference).run(None, {"x": x})[0]
    assert np.abs(y - real).max() < 0.02 * np.abs(real).max()
