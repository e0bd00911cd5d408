"""Which tensors are weights of convolutions, with what attributes, and what is said of the others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.reader import Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.readers import onnx as plugin
from filtercrawl_plugins.readers.onnx.graph.parse import read_model, read_tensors
from filtercrawl_plugins.readers.onnx.graph.tensor_names import name_tensors
from filtercrawl_plugins.readers.onnx.graph.types import OnnxTensor
from support.onnx_models import branch, model, node, random_array, read, stored_bytes, tensor, weight_of


def convolution(op: str = "conv2d", **given: object) -> Convolution:
    axes = int(op[-2])
    default = {
        "stride": (1,) * axes,
        "padding": (0,) * axes,
        "dilation": (1,) * axes,
        "groups": 1,
        "n_calls": 1,
    }
    return Convolution(op=op, source="onnx_graph", **{**default, **given})


def test_the_plugin_yields_one_reader() -> None:
    (reader,) = plugin.filtercrawl_readers()
    assert isinstance(reader, Reader)
    assert reader.name == "onnx"


def test_attributes_are_read_as_the_operator_states_them() -> None:
    w = random_array(8, 2, 3, 3)
    built = model(
        [node("Conv", ["x", "w"], "y", "c", group=2, strides=[2, 1], dilations=[1, 3], pads=[1, 0, 2, 0])],
        [tensor("w", w)],
    )
    stored = read(built)["w"]
    assert stored_bytes(stored) == w.tobytes()
    assert stored.layer == "c"
    assert stored.convolution == convolution(groups=2, stride=(2, 1), dilation=(1, 3), padding=(1, 0, 2, 0))


@pytest.mark.parametrize(
    ("given", "padding"),
    [
        ({}, (0, 0)),
        ({"pads": [1, 2, 1, 2]}, (1, 2)),
        ({"auto_pad": "NOTSET", "pads": [3, 3, 3, 3]}, (3, 3)),
        ({"auto_pad": "VALID"}, (0, 0)),
        ({"auto_pad": "SAME_UPPER"}, None),
        ({"auto_pad": "SAME_LOWER"}, None),
    ],
)
def test_padding(given: dict[str, object], padding: tuple[int, ...] | None) -> None:
    built = model([node("Conv", ["x", "w"], "y", **given)], [tensor("w", random_array(4, 3, 3, 3))])
    assert read(built)["w"].convolution == convolution(padding=padding)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_every_rank_plain_and_transposed_and_grouped(op: str, axes: int) -> None:
    w = random_array(6, 2, *(3, 5, 2)[:axes])
    built = model([node(op, ["x", "w"], "y", group=3)], [tensor("w.weight", w)])
    built.graph.node[0].input[1] = "w.weight"
    stored = read(built)["w.weight"]
    kind = "conv_transpose" if op == "ConvTranspose" else "conv"
    assert stored.convolution == convolution(f"{kind}{axes}d", groups=3)
    assert stored.layer == "w"
    assert stored_bytes(stored) == w.tobytes()


def test_a_large_kernel() -> None:
    w = random_array(3, 1, 31, 31)
    stored = read(model([node("Conv", ["x", "w"], "y", group=3)], [tensor("w", w)]))["w"]
    assert stored.convolution == convolution(groups=3)
    assert stored_bytes(stored) == w.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_float_types(dtype: str) -> None:
    w = random_array(4, 2, 3, 3, dtype=dtype)
    stored = read(model([node("Conv", ["x", "w"], "y")], [tensor("w", w)]))["w"]
    assert stored.dtype == dtype
    assert stored_bytes(stored) == w.tobytes()
    assert (stored.convolution, stored.quantization) == (convolution(), None)


def test_a_weight_of_two_nodes_is_shared_and_one_listed_as_input_is_a_weight() -> None:
    nodes = [node("Conv", ["x", "w"], "h", "one"), node("Conv", ["h", "w"], "y", "two", pads=[1] * 4)]
    built = model(nodes, [tensor("w", random_array(4, 4, 3, 3))])
    built.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4, 3, 3]))
    stored = read(built)["w"]
    assert stored.convolution == convolution(n_calls=2)
    assert stored.layer == "one"


def test_a_constant_node_is_named_by_its_output() -> None:
    w = random_array(4, 2, 3, 3)
    nodes = [node("Constant", [], "w", "some_node", value=tensor("inner", w)), node("Conv", ["x", "w"], "y")]
    stored = read(model(nodes))["w"]
    assert stored.convolution == convolution()
    assert stored_bytes(stored) == w.tobytes()


def test_identity_and_cast_are_followed() -> None:
    w = random_array(4, 2, 3, 3, dtype="float16")
    nodes = [
        node("Identity", ["w"], "a"),
        node("Cast", ["a"], "b", to=TensorProto.FLOAT),
        node("Identity", ["b"], "c"),
        node("Conv", ["x", "c", "bias"], "y"),
        node("Identity", ["real_bias"], "bias"),
    ]
    found = read(model(nodes, [tensor("w", w), tensor("real_bias", random_array(4))]))
    assert found["w"].convolution == convolution()
    assert found["w"].dtype == "float16"
    assert found["w"].layer == "w"
    assert found["real_bias"].reason == "bias"


def quantized(scale: np.ndarray, zero: np.ndarray | None, **given: int) -> dict[str, StoredTensor]:
    codes = np.arange(4 * 2 * 3 * 3).reshape(4, 2, 3, 3).astype(np.uint8 if zero is None else zero.dtype)
    inputs = ["q", "s"] + ([] if zero is None else ["z"])
    nodes = [node("DequantizeLinear", inputs, "w", **given), node("Conv", ["x", "w"], "y")]
    constants = [tensor("q", codes), tensor("s", scale)] + ([] if zero is None else [tensor("z", zero)])
    found = read(model(nodes, constants))
    assert stored_bytes(found["q"]) == codes.tobytes()
    assert found["s"].reason == "quantization"
    return found


CODES = np.arange(4 * 2 * 3 * 3).reshape(4, 2, 3, 3)


def test_dequantize_linear_gives_scale_zero_point_and_axis() -> None:
    whole = quantized(np.float32(0.5), np.uint8(128))
    np.testing.assert_array_equal(weight_of(whole["q"]), (CODES.astype("f4") - 128) * np.float32(0.5))
    scale, zero = np.array([1, 2, 3, 0.1], "f4"), np.array([0, 1, -2, 3], "i1")
    by_channel = quantized(scale, zero, axis=0)
    expected = (CODES.astype("f4") - zero.reshape(4, 1, 1, 1)) * scale.reshape(4, 1, 1, 1)
    np.testing.assert_array_equal(weight_of(by_channel["q"]), expected)
    assert by_channel["z"].reason == "quantization"
    assert by_channel["q"].notes == ("dequantized",)
    from_the_end = quantized(np.array([1, 2], "f2"), None, axis=-3)
    np.testing.assert_array_equal(weight_of(from_the_end["q"]), CODES * np.array([1, 2], "f4").reshape(2, 1, 1))
    assert from_the_end["q"].convolution == convolution()


def test_codes_without_a_readable_scale_are_named_so() -> None:
    of_no_channel = [node("DequantizeLinear", ["q", "s"], "w", axis=0), node("Conv", ["x", "w"], "y")]
    constants = [tensor("q", np.ones((4, 1, 3, 3), "i1")), tensor("s", np.ones(3, "f4"))]
    assert read(model(of_no_channel, constants))["q"].reason == "quantized_codes"
    nodes = [node("DequantizeLinear", ["q", "x"], "w"), node("Conv", ["x", "w"], "y")]
    assert read(model(nodes, [tensor("q", np.ones((1, 1, 3, 3), "i1"))]))["q"].reason == "quantized_codes"


def test_a_weight_that_is_rounded_on_the_way_is_emitted_as_rounded() -> None:
    w = random_array(4, 2, 3, 3)
    nodes = [
        node("QuantizeLinear", ["w", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("Conv", ["x", "d"], "y"),
    ]
    stored = read(model(nodes, [tensor("w", w), tensor("s", np.float32(0.5)), tensor("z", np.int8(0))]))["w"]
    assert (stored.convolution, stored.quantization) == (convolution(), None)
    assert stored.notes == ("fake_quantized",)
    assert stored_bytes(stored) == w.tobytes()
    np.testing.assert_array_equal(weight_of(stored), np.clip(np.rint(w / 0.5), -128, 127) * np.float32(0.5))


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_qlinear_conv_has_its_weight_at_input_three(domain: str) -> None:
    codes = random_array(2, 3, 3, 3, dtype="int8")
    constants = {
        "xs": np.float32(1),
        "xz": np.uint8(0),
        "w": codes,
        "ws": np.array([0.25, 0.5], "f4"),
        "wz": np.array([1, -1], "i1"),
        "ys": np.float32(1),
        "yz": np.uint8(0),
        "b": np.array([1, 2], "i4"),
    }
    call = node("QLinearConv", ["x", *constants], "y", domain=domain)
    found = read(model([call], [tensor(n, a) for n, a in constants.items()]))
    assert found["w"].convolution == convolution()
    zero, scale = (constants[name].reshape(2, 1, 1, 1) for name in ("wz", "ws"))
    np.testing.assert_array_equal(weight_of(found["w"]), (codes.astype("f4") - zero) * scale)
    assert stored_bytes(found["w"]) == codes.tobytes()
    assert found.pop("b").reason == "bias"
    del found["w"]
    assert {t.reason for t in found.values()} == {"quantization"}


def test_a_fused_convolution_has_the_layout_of_a_plain_one() -> None:
    call = node("FusedConv", ["x", "w", "b"], "y", domain="com.microsoft", activation="Relu")
    found = read(model([call], [tensor("w", random_array(4, 2, 3, 3)), tensor("b", random_array(4))]))
    assert found["w"].convolution == convolution()
    assert found["b"].reason == "bias"


def test_a_quantized_convolution_has_the_same_weight_with_channels_last() -> None:
    inputs = ["x", "s", "z", "w", "s", "z", "s", "z"]
    call = node("QLinearConv", inputs, "y", domain="com.microsoft", channels_last=1, pads=[1, 2, 1, 2], group=2)
    codes = random_array(4, 2, 3, 5, dtype="int8")
    found = read(model([call], [tensor("w", codes), tensor("s", np.float32(0.5)), tensor("z", np.int8(0))]))["w"]
    np.testing.assert_array_equal(weight_of(found), codes * np.float32(0.5))
    assert found.convolution == convolution(groups=2, padding=(1, 2))


def test_a_channels_last_convolution_is_not_of_the_standard_kind() -> None:
    call = node("FusedConv", ["x", "w"], "y", domain="com.microsoft", channels_last=1)
    assert read(model([call], [tensor("w", random_array(2, 3, 3, 3))]))["w"].reason == "nonstandard_operator"


def test_both_branches_of_an_if_and_the_graph_around_it_hold_weights() -> None:
    a, b, outer = (random_array(2, 2, 3, 3, seed=s) for s in range(3))
    then = branch([node("Conv", ["x", "w"], "h"), node("Conv", ["h", "outer"], "y")], [tensor("w", a)])
    deep = branch([node("Constant", [], "k", value=tensor("", b)), node("Conv", ["x", "k"], "y", "inner")])
    other = branch([node("If", ["c"], "y", "If_1", then_branch=deep, else_branch=branch([]))])
    call = node("If", ["c"], "y", "If_0", then_branch=then, else_branch=other)
    found = read(model([call], [tensor("outer", outer)]))
    expected = {"outer": outer, "If_0/then_branch/w": a, "If_0/else_branch/If_1/then_branch/k": b}
    assert {name: stored_bytes(t) for name, t in found.items()} == {n: v.tobytes() for n, v in expected.items()}
    assert all(t.convolution == convolution() for t in found.values())
    assert found["If_0/else_branch/If_1/then_branch/k"].layer == "inner"


def test_the_input_of_a_loop_body_hides_a_tensor_outside() -> None:
    body = branch([node("Conv", ["x", "w"], "y")])
    body.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, None))
    built = model([node("Loop", ["n", "c", "w"], "y", body=body)], [tensor("w", random_array(2, 2, 3, 3))])
    assert read(built)["w"].convolution is None


def test_names_are_unique_whatever_the_file_says() -> None:
    a = [tensor(name, random_array(1, seed=i)) for i, name in enumerate(["w", "w", "", "", "w~2", "w"])]
    branches = {"then_branch": branch([], [tensor("k", random_array(1))])}
    nodes = [
        node("If", ["c"], "", **branches),
        node("ConstantOfShape", ["s"], "z", value=tensor("", random_array(1))),
    ]
    names = list(read(model(nodes, a)))
    inner = ["If_0/then_branch/k", "ConstantOfShape_1/value"]
    assert names == [*inner, "w", "w~3", "unnamed", "unnamed~2", "w~2", "w~4"]


OTHERS = {
    "bias": [node("Conv", ["x", "c", "t"], "y"), node("Gemm", ["x", "c", "t"], "y")],
    "norm": [
        node("BatchNormalization", ["x", "c", "t", "c", "c"], "y"),
        node("InstanceNormalization", ["x", "c", "t"], "y"),
        node("LayerNormalization", ["x", "t"], "y"),
        node("GroupNormalization", ["x", "c", "t"], "y"),
    ],
    "activation": [node("PRelu", ["x", "t"], "y")],
    "recurrent": [node(op, ["x", "c", "t"], "y") for op in ("LSTM", "GRU", "RNN")],
    "linear": [
        node("MatMul", ["x", "t"], "y"),
        node("MatMul", ["t", "x"], "y"),
        node("Gemm", ["x", "t"], "y"),
        node("QLinearMatMul", ["x", "c", "c", "t", "c", "c", "c", "c"], "y"),
        node("MatMulInteger", ["x", "t"], "y"),
    ],
    "embedding": [node("Gather", ["t", "x"], "y")],
    "scale": [node("Mul", ["x", "t"], "y"), node("Div", ["x", "t"], "y")],
    "constant": [node("Add", ["x", "t"], "y"), node("Gather", ["x", "t"], "y"), node("Identity", ["x"], "y")],
    "nonstandard_operator": [
        node("NhwcConv", ["x", "t"], "y", domain="com.microsoft"),
        node("DeformConv", ["x", "t", "o"], "y"),
        node("Conv", ["x", "t"], "y"),
    ],
}


@pytest.mark.parametrize(("reason", "call"), [(r, call) for r, calls in OTHERS.items() for call in calls])
def test_every_other_tensor_has_the_reason_of_its_use(reason: str, call: onnx.NodeProto) -> None:
    constants = [tensor("t", random_array(4, 4)), tensor("c", random_array(4))]
    direct = read(model([call], constants))["t"]
    assert (direct.reason, direct.convolution) == (reason, None)
    call_behind = onnx.NodeProto.FromString(call.SerializeToString())
    call_behind.input[list(call.input).index("t") if "t" in call.input else 0] = "moved"
    steps = [node("Transpose", ["t"], "half"), node("Cast", ["half"], "moved", to=TensorProto.FLOAT)]
    assert read(model([*steps, call_behind], constants))["t"].reason == reason


@pytest.mark.parametrize("first", ["Conv", "MatMul"])
def test_what_is_added_after_a_linear_map_is_its_bias(first: str) -> None:
    nodes = [node(first, ["x", "w"], "h"), node("Reshape", ["h", "s"], "r"), node("Add", ["b", "r"], "y")]
    constants = {"w": random_array(4, 4, 3, 3), "b": random_array(1, 4, 1, 1), "s": np.array([1, 4, -1])}
    found = read(model(nodes, [tensor(n, a) for n, a in constants.items()]))
    assert (found["b"].reason, found["s"].reason) == ("bias", "constant")


def test_a_weight_that_is_used_elsewhere_too_is_a_weight() -> None:
    nodes = [node("Mul", ["x", "w"], "h"), node("Conv", ["h", "w"], "y"), node("Relu", ["w"], "z")]
    assert read(model(nodes, [tensor("w", random_array(4, 4, 3, 3))]))["w"].convolution == convolution()


def test_a_weight_whose_computation_has_no_rule_is_not_followed() -> None:
    nodes = [
        node("Pow", ["w", "gain"], "m"),
        node("Transpose", ["m"], "t", perm=[3, 2, 0, 1]),
        node("Conv", ["x", "t"], "y"),
    ]
    found = read(model(nodes, [tensor("w", random_array(3, 3, 2, 4)), tensor("gain", random_array(1))]))
    assert (found["w"].reason, found["gain"].reason) == ("nonstandard_operator", "constant")


def test_a_weight_computed_from_the_input_makes_nothing_a_kernel() -> None:
    nodes = [node("MatMul", ["x", "w"], "m"), node("Reshape", ["m", "s"], "k"), node("Conv", ["x", "k"], "y")]
    found = read(model(nodes, [tensor("w", random_array(9, 9)), tensor("s", np.array([1, 1, 3, 3]))]))
    assert (found["w"].reason, found["s"].reason) == ("kernel_generator", "constant")


def test_functions_of_the_model_are_followed_into_their_calls() -> None:
    body = [
        node("Constant", [], "k", value=tensor("", random_array(2, 2, 3, 3))),
        node("Conv", ["a", "weight"], "h", "c"),
        node("Conv", ["h", "k"], "out"),
    ]
    reference = body[1].attribute.add(name="group", type=onnx.AttributeProto.INT)
    reference.ref_attr_name = "groups"
    imports = [helper.make_opsetid("", 18)]
    block = helper.make_function("mine", "Block", ["a", "weight"], ["out"], body, imports, ["groups"])
    calls = [
        node("Block", ["x", "w0"], "h", domain="mine", groups=2),
        node("Identity", ["w1"], "w"),
        node("Block", ["h", "w"], "y", domain="mine", groups=1),
    ]
    weights = {"w0": random_array(2, 1, 5, 5), "w1": random_array(2, 2, 7, 7)}
    found = read(model(calls, [tensor(n, w) for n, w in weights.items()], [block]))
    assert found["w0"].convolution == convolution(groups=2)
    assert found["w1"].convolution == convolution()
    assert found["w0"].layer == "c"
    assert found["Block/k"].convolution == convolution(n_calls=2)


def test_functions_that_unfold_without_end_are_refused() -> None:
    imports = [helper.make_opsetid("", 18)]
    calls = [node(f"f{i}", ["a"], "out", domain="m") for i in range(1, 26)]
    functions = [
        helper.make_function("m", f"f{i}", ["a"], ["out"], [call, call], imports) for i, call in enumerate(calls)
    ]
    loop = helper.make_function("m", "f0", ["a"], ["out"], [node("f0", ["a"], "out", domain="m")], imports)
    for set_of_them in (functions, [loop]):
        with pytest.raises(UnsafeFileError, match=r"steps of parsing|call each other more than 64 levels deep"):
            read(model([node("f0", ["x"], "y", domain="m")], [], set_of_them))


def test_cycles_do_not_hang() -> None:
    nodes = [node("Identity", ["b"], "a"), node("Identity", ["a"], "b"), node("Conv", ["x", "a"], "y")]
    nodes += [node("Mul", ["d", "w"], "d"), node("Conv", ["x", "d"], "z")]
    assert read(model(nodes, [tensor("w", random_array(1, 1, 3, 3))]))["w"].convolution is None


@pytest.mark.parametrize(
    "given", [{"group": 3}, {"group": 0}, {"strides": [1]}, {"pads": [1, 1]}, {"dilations": [1, 1, 1]}]
)
def test_attributes_that_do_not_fit_the_weight_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(FormatError, match="tensor 'w'"):
        read(model([node("Conv", ["x", "w"], "y", **given)], [tensor("w", random_array(4, 1, 3, 3))]))


def test_tensors_are_found_wherever_a_message_may_hold_one() -> None:
    constant = node("Constant", [], "c", value=tensor("constant", random_array(2)))
    inner = branch([constant], [tensor("nested", random_array(3))])
    choice = node("If", ["c"], "y", then_branch=inner, else_branch=branch([node("Identity", ["x"], "y")]))
    function = helper.make_function("own", "f", ["a"], ["b"], [constant], [helper.make_opsetid("", 20)])
    function.attribute_proto.append(helper.make_attribute("k", tensor("default", random_array(4))))
    built = model([choice], [tensor("w", random_array(4, 1, 3, 3))], functions=[function])
    built.training_info.add().algorithm.initializer.append(tensor("momentum", random_array(5)))
    file = MemoryFile(built.SerializeToString())
    everything = [named.tensor for named in name_tensors(read_model(file, Budget(file)), Budget(file))]
    dense = [found for found in everything if isinstance(found, OnnxTensor)]
    assert {found.name for found in dense} == {"constant", "nested", "default", "w", "momentum"}
    assert list(read_tensors(file)) == dense


def test_training_graphs_are_in_the_list() -> None:
    built = model([node("Conv", ["x", "w"], "y")], [tensor("w", random_array(4, 1, 3, 3))])
    built.training_info.add().algorithm.initializer.append(tensor("momentum", random_array(4, 1, 3, 3)))
    assert read(built)["training_info_0/algorithm/momentum"].reason == "optimizer_state"


class Jumped(MemoryFile):
    """Remembers what it was told of the way ahead."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.told: list[tuple[int, float]] = []

    def hint_seeks(self, n_seeks: int, reread: float) -> None:
        self.told.append((n_seeks, reread))


def test_the_file_is_told_once_how_many_weights_follow_the_nodes() -> None:
    square = {"kernel_shape": [3, 3]}
    nodes = [
        node("Conv", ["x", "first", "b"], "a", "c1", **square),
        node("Conv", ["a", "w"], "d", "c2", **square),
        node("Conv", ["d", "w"], "d2", "c3", **square),  # the same weight again
        node("Conv", ["d2", "deep"], "d3", "c4", group=2, **square),
        node("BatchNormalization", ["d3", "s", "b", "m", "v"], "e"),
        node("Add", ["e", "s"], "f"),
        node("DequantizeLinear", ["q", "s"], "wq"),
        node("Conv", ["f", "wq"], "g", "c5", kernel_shape=[1, 1]),
        node("MatMul", ["g", "l"], "y"),
    ]
    names = ["first", "w", "deep", "b", "s", "m", "v", "q", "l"]
    built = model(nodes, [tensor(name, random_array(2, 2, 3, 3)) for name in names])
    file = Jumped(built.SerializeToString())
    read_model(file, Budget(file))
    # first, w, deep, q and l; w has 9 numbers a pair of channels, q and l are taken for four times as many pairs.
    assert file.told == [(5, 9 / (9 + 2 * 4))]


@pytest.mark.parametrize("shape", [[-3, 3], [0, 3], [2**62] * 40, [-(2**62)] * 41])
def test_what_the_file_is_told_is_a_share_whatever_a_node_says_of_its_kernels(shape: list[int]) -> None:
    nodes = [
        node("Conv", ["x", "first"], "a", "c1", kernel_shape=[3, 3]),
        node("Conv", ["a", "w"], "b", "c2", kernel_shape=shape),
        node("MatMul", ["b", "l"], "y"),
    ]
    built = model(nodes, [tensor(name, random_array(2, 2, 3, 3)) for name in ("first", "w", "l")])
    file = Jumped(built.SerializeToString())
    read_model(file, Budget(file))
    ((number, share),) = file.told
    assert number == 3
    assert 0 <= share <= 1
