"""Weights that a graph computes from constants are what onnx's reference evaluator computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl_plugins.readers.onnx.usage.fold_rules import FOLD_RULES
from support.onnx_models import READER, model, node, random_array, read, tensor, weight_of
from support.recording_file import WantedFile
from support.torch_files import OneFile


class Chain:
    """Nodes that compute one value from constants, with the value after each of them."""

    def __init__(self, start: np.ndarray) -> None:
        self.constants = {"start": start}
        self.nodes: list[onnx.NodeProto] = []
        self.values = {"start": start}
        self.name = "start"

    @property
    def value(self) -> np.ndarray:
        return self.values[self.name]

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = self.values[name] = np.asarray(array)
        return name

    def add(self, op: str, *operands: str, outputs: int = 1, take: int = 0, **attributes: object) -> None:
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        made = helper.make_node(op, [self.name, *operands], names, **attributes)
        results = ReferenceEvaluator(made).run(None, {name: self.values[name] for name in made.input if name})
        self.nodes.append(made)
        self.values.update(zip(names, results, strict=True))
        self.name = names[take]

    def read(self) -> dict[str, StoredTensor]:
        conv = node("Conv", ["x", self.name], "y")
        return read(model([*self.nodes, conv], [tensor(name, array) for name, array in self.constants.items()]))


def transpose(chain: Chain, draw: st.DataObject) -> None:
    chain.add("Transpose", perm=draw.draw(st.permutations(range(chain.value.ndim))))


def reshape(chain: Chain, draw: st.DataObject) -> None:
    size = chain.value.size
    rows = draw.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    columns = size // rows
    inner = draw.draw(st.sampled_from([n for n in range(1, columns + 1) if columns % n == 0]))
    wanted = [[rows, inner, -1], [rows, inner, columns // inner], [-1, inner], [1, rows, -1]]
    chain.add("Reshape", chain.constant(np.array(draw.draw(st.sampled_from(wanted)))))


def flatten(chain: Chain, draw: st.DataObject) -> None:
    chain.add("Flatten", axis=draw.draw(st.integers(-chain.value.ndim, chain.value.ndim)))


def unsqueeze(chain: Chain, draw: st.DataObject) -> None:
    axes = draw.draw(st.lists(st.integers(0, chain.value.ndim), unique=True, min_size=1, max_size=1))
    chain.add("Unsqueeze", chain.constant(np.array(axes)))


def squeeze(chain: Chain, draw: st.DataObject) -> None:
    ones = [axis for axis, size in enumerate(chain.value.shape) if size == 1]
    if ones:
        chain.add("Squeeze", chain.constant(np.array([draw.draw(st.sampled_from(ones))])))


def slice_(chain: Chain, draw: st.DataObject) -> None:
    axis = draw.draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    start, step = draw.draw(st.integers(0, size - 1)), draw.draw(st.sampled_from([1, 2, -1, -2]))
    end = draw.draw(st.integers(start + 1, size + 2)) if step > 0 else draw.draw(st.sampled_from([-(2**62), -size - 1]))
    operands = [[start], [end], [axis], [step]]
    chain.add("Slice", *(chain.constant(np.array(operand)) for operand in operands))


def split(chain: Chain, draw: st.DataObject) -> None:
    axis = draw.draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    if size > 1:
        first = draw.draw(st.integers(1, size - 1))
        sizes = chain.constant(np.array([first, size - first]))
        chain.add("Split", sizes, outputs=2, take=draw.draw(st.integers(0, 1)), axis=axis)


def concat(chain: Chain, draw: st.DataObject) -> None:
    axis = draw.draw(st.integers(0, chain.value.ndim - 1))
    if chain.value.size < 1000:
        chain.add("Concat", chain.constant(chain.value + chain.value.dtype.type(1)), axis=axis)


def gather(chain: Chain, draw: st.DataObject) -> None:
    axis = draw.draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    indices = draw.draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=4))
    chain.add("Gather", chain.constant(np.array(indices)), axis=axis)


def pad(chain: Chain, draw: st.DataObject) -> None:
    mode = draw.draw(st.sampled_from(["constant", "edge", "reflect", "wrap"]))
    axes = draw.draw(st.lists(st.integers(0, chain.value.ndim - 1), unique=True, min_size=1, max_size=2))
    sizes = draw.draw(st.lists(st.integers(0, 2), min_size=2 * len(axes), max_size=2 * len(axes)))
    value = chain.constant(np.asarray(1.5, chain.value.dtype))
    if chain.value.size < 1000:
        operands = draw.draw(st.sampled_from(["", value])), chain.constant(np.array(axes))
        chain.add("Pad", chain.constant(np.array(sizes)), *operands, mode=mode)


def where(chain: Chain, draw: st.DataObject) -> None:
    mask = np.random.default_rng(chain.value.size).random(chain.value.shape[1:]) > 0.5
    other = chain.constant(np.asarray(draw.draw(st.sampled_from([0, 2])), chain.value.dtype))
    chosen, chain.name = chain.name, chain.constant(mask)
    chain.add("Where", *draw.draw(st.permutations([chosen, other])))


def arithmetic(chain: Chain, draw: st.DataObject) -> None:
    shape = tuple(size if draw.draw(st.booleans()) else 1 for size in chain.value.shape)
    shape = shape[draw.draw(st.integers(0, len(shape))) :]
    operand = np.asarray(np.random.default_rng(len(shape)).random(shape) + 0.5).astype(chain.value.dtype)
    chain.add(draw.draw(st.sampled_from(["Mul", "Div", "Add", "Sub"])), chain.constant(operand))


def unary(chain: Chain, draw: st.DataObject) -> None:
    operators = ["Neg", "Abs", "Sign", "Sqrt", "Reciprocal", "Round", "Floor", "Ceil", "Relu", "Identity"]
    operator = draw.draw(st.sampled_from(operators))
    chain.add("Abs" if operator == "Sqrt" else "Identity")
    with np.errstate(divide="ignore", over="ignore"):
        chain.add(operator)


def clip(chain: Chain, draw: st.DataObject) -> None:
    low, high = (chain.constant(np.asarray(bound, chain.value.dtype)) for bound in (-20, 30))
    chain.add("Clip", draw.draw(st.sampled_from(["", low])), draw.draw(st.sampled_from(["", high])))
    chain.add(draw.draw(st.sampled_from(["Min", "Max"])), chain.constant(np.ones(1, chain.value.dtype)))


def cast(chain: Chain, draw: st.DataObject) -> None:
    kinds = [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN]
    chain.add("Cast", to=draw.draw(st.sampled_from(kinds)))
    if chain.value.dtype not in (np.dtype("f4"), np.dtype("f2")):  # numpy's arithmetic needs one of these
        chain.add("Cast", to=TensorProto.FLOAT)


def fake_quantize(chain: Chain, draw: st.DataObject) -> None:
    axis = draw.draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    scale = (np.random.default_rng(size).random(size) * 0.1 + 0.01).astype(chain.value.dtype)
    dtype = draw.draw(st.sampled_from(["i1", "u1", "i2", "u2"]))
    zero = np.random.default_rng(size).integers(0, 9, size).astype(dtype)
    operands = chain.constant(scale), chain.constant(zero)
    chain.add("QuantizeLinear", *operands, axis=axis)
    chain.add("DequantizeLinear", *operands, axis=axis)


STEPS: list[Callable[[Chain, st.DataObject], None]] = [
    transpose, reshape, flatten, unsqueeze, squeeze, slice_, split, concat, gather, pad, where, arithmetic, unary, clip,
    cast, fake_quantize,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_chains_of_constants_are_what_the_reference_evaluator_computes(data: st.DataObject) -> None:
    chain = Chain(random_array(4, 6, 3, 3))
    for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=8)):
        if chain.value.ndim <= 5:
            step(chain, data)
    chain.add("Reshape", chain.constant(np.array([chain.value.size, 1, 1])))
    largest = max(chain.constants, key=lambda name: chain.constants[name].size)
    emitted = [stored for stored in chain.read().values() if stored.convolution is not None]
    assert len(emitted) == 1
    assert chain.constants[emitted[0].name].size <= chain.constants[largest].size
    np.testing.assert_array_equal(weight_of(emitted[0]), chain.value.astype("f4"))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"])
@pytest.mark.parametrize("saturate", [0, 1])
def test_float8_weights_are_quantized_and_dequantized_as_the_reference_does(kind: str, saturate: int) -> None:
    chain = Chain(np.array([1.0, 0.3, -1e9, np.inf, 1e-9, 300.0, 470.0, 60000.0, 0.0625], "f4").reshape(1, 1, 3, 3))
    dtype = getattr(ml_dtypes, kind)
    operands = chain.constant(np.float32(1)), chain.constant(np.zeros((), dtype))
    chain.add("QuantizeLinear", *operands, saturate=saturate)
    chain.add("DequantizeLinear", *operands)
    found = chain.read()["start"]
    assert found.notes == ("fake_quantized",)
    np.testing.assert_array_equal(weight_of(found), chain.value)


@pytest.mark.parametrize("kind", ["int4", "uint4", "int2", "uint2", "float4_e2m1fn", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_of_few_bits_are_dequantized_as_the_reference_does(kind: str, raw: bool) -> None:
    dtype = getattr(ml_dtypes, kind)
    codes = np.random.default_rng(0).integers(-8, 8, (5, 3, 3, 3)).astype("f4").clip(-2, 1).astype(dtype)
    onnx_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    message = tensor("q", codes)
    if not raw:
        message = helper.make_tensor("q", onnx_type, codes.shape, codes.astype("f4").ravel())
        assert not message.HasField("raw_data")
    scale = np.array([0.1, 2, 3, 4, 5], "f4")
    nodes = [node("DequantizeLinear", ["q", "s"], "w", axis=0), node("Conv", ["x", "w"], "y")]
    found = read(model(nodes, [message, tensor("s", scale)]))["q"]
    expected = ReferenceEvaluator(nodes[0]).run(None, {"q": codes, "s": scale})[0]
    assert found.dtype == kind.removesuffix("fn") if kind.startswith("float4") else kind
    np.testing.assert_array_equal(weight_of(found), expected)


@pytest.mark.parametrize(
    ("block", "axis", "shape"), [(4, 1, (8, 2, 3, 3)), (3, 0, (3, 8, 3, 3)), (16, 1, (8, 1, 3, 3))]
)
def test_blocked_scales_are_applied_as_the_reference_does(block: int, axis: int, shape: tuple[int, ...]) -> None:
    codes = random_array(8, 8, 3, 3, dtype="int8")
    scale, zero = random_array(*shape), np.random.default_rng(1).integers(-5, 5, shape).astype("i1")
    call = node("DequantizeLinear", ["q", "s", "z"], "w", axis=axis, block_size=block)
    nodes = [call, node("Conv", ["x", "w"], "y")]
    found = read(model(nodes, [tensor("q", codes), tensor("s", scale), tensor("z", zero)]))
    expected = ReferenceEvaluator(call).run(None, {"q": codes, "s": scale, "z": zero})[0]
    np.testing.assert_array_equal(weight_of(found["q"]), expected)
    assert {found["s"].reason, found["z"].reason} == {"quantization"}


def test_a_half_precision_scale_gives_a_half_precision_weight() -> None:
    codes, scale = random_array(4, 2, 3, 3, dtype="int8"), np.float16(0.1)
    call = node("DequantizeLinear", ["q", "s"], "w")
    found = read(model([call, node("Conv", ["x", "w"], "y")], [tensor("q", codes), tensor("s", scale)]))["q"]
    expected = ReferenceEvaluator(call).run(None, {"q": codes, "s": scale})[0]
    assert expected.dtype == np.float16
    np.testing.assert_array_equal(weight_of(found), expected.astype("f4"))


def test_a_dequantization_written_out_in_casts_is_followed() -> None:
    codes, zero, scale = random_array(4, 2, 3, 3, dtype="int8"), np.int32(3), random_array(4, 1, 1, 1)
    nodes = [
        node("Cast", ["q"], "i", to=TensorProto.INT32),
        node("Sub", ["i", "z"], "d"),
        node("Cast", ["d"], "f", to=TensorProto.FLOAT),
        node("Mul", ["f", "s"], "w"),
        node("Conv", ["x", "w"], "y"),
    ]
    found = read(model(nodes, [tensor("q", codes), tensor("z", zero), tensor("s", scale)]))
    np.testing.assert_array_equal(weight_of(found["q"]), (codes.astype("i4") - 3).astype("f4") * scale)
    assert found["s"].reason == "scale"


def test_a_tensor_that_is_split_between_convolutions_is_a_layer_each() -> None:
    w = random_array(12, 3, 3, 3)
    parts = helper.make_node("Split", ["w", "sizes"], ["a", "b"], axis=0)
    nodes = [
        parts,
        node("Conv", ["x", "a"], "h", "first", strides=[2, 2]),
        node("Conv", ["h", "b"], "i", "second", group=4),
        node("Conv", ["i", "b"], "y", "third", group=4),
    ]
    found = read(model(nodes, [tensor("w", w), tensor("sizes", np.array([8, 4]))]))["w"]
    first, second = found.parts
    assert (first.layer, first.bank_index, first.convolution.stride) == ("first", 0, (2, 2))
    assert (second.layer, second.bank_index, second.convolution.groups) == ("second", 1, 4)
    assert (first.convolution.n_calls, second.convolution.n_calls) == (1, 2)
    assert (first.depth.conv_depth, second.depth.conv_depth) == (0, 1)
    np.testing.assert_array_equal(weight_of(first), w[:8])
    np.testing.assert_array_equal(weight_of(second), w[8:])


def test_kernels_are_padded_and_masked_as_the_reference_does() -> None:
    w, mask = random_array(4, 2, 3, 3), np.random.default_rng(0).random((4, 2, 5, 5)) > 0.5
    nodes = [
        node("Pad", ["w", "pads", "value"], "p"),
        node("Where", ["mask", "p", "zeros"], "c"),
        node("Conv", ["x", "c"], "y"),
    ]
    constants = {
        "w": w, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "value": np.float32(0.5), "mask": mask,
        "zeros": np.zeros((1, 1, 5, 5), "f4"),
    }  # fmt: skip
    found = read(model(nodes, [tensor(name, array) for name, array in constants.items()]))
    expected = np.where(mask, np.pad(w, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=np.float32(0.5)), 0)
    np.testing.assert_array_equal(weight_of(found["w"]), expected)
    assert found["w"].notes == ("folded",)
    assert {found["mask"].reason, found["pads"].reason} <= {"weight_operand", "constant"}


@pytest.mark.parametrize("pads", [[0, 0, -1, 0, 0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 2**40, 0, 0, 0, 0, 0]])
@pytest.mark.parametrize("mode", ["constant", "edge", "other"])
def test_a_padding_without_an_exact_rule_is_not_computed(pads: list[int], mode: str) -> None:
    nodes = [node("Pad", ["w", "pads"], "p", mode=mode), node("Conv", ["x", "p"], "y")]
    found = read(model(nodes, [tensor("w", random_array(4, 2, 3, 3)), tensor("pads", np.array(pads))]))
    assert found["w"].reason == "nonstandard_operator"


def delimited(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message with its length."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize("sizes", [(400,), (3, 400), (400, 3), (300, 2, 300)])
def test_integers_of_packed_and_of_single_fields_are_one_list(sizes: tuple[int, ...]) -> None:
    w = random_array(6, 2, 3, 3)
    chosen = np.random.default_rng(0).integers(-6, 6, sum(sizes)).tolist()
    parts = np.split(np.array(chosen), np.cumsum(sizes)[:-1])
    fields = [delimited(8, b"".join(map(varint, part.tolist()))) for part in parts]
    named = onnx.AttributeProto(name="value_ints", type=onnx.AttributeProto.INTS)
    attribute = delimited(5, named.SerializeToString() + b"".join(fields))
    constant = onnx.NodeProto(op_type="Constant", output=["i"]).SerializeToString() + attribute
    nodes = [node("Gather", ["w", "i"], "g", axis=0), node("Conv", ["x", "g"], "y")]
    whole = model(nodes, [tensor("w", w)])
    graph = delimited(1, constant) + whole.graph.SerializeToString()
    whole.ClearField("graph")
    found = read(whole.SerializeToString() + delimited(7, graph))["w"]
    np.testing.assert_array_equal(weight_of(found), w[chosen])


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Cast", ["v"], "w", to=99)],
        [node("Reshape", ["v"], "w")],
        [node("Expand", ["v", "five"], "w")],
        [node("Slice", ["v"], "w")],
        [node("Slice", ["v", "three", "pair"], "w")],
        [node("Slice", ["v", "pair", "pair", "pair", "zeros"], "w")],
        [helper.make_node("Split", ["v", "pair"], ["w", "rest"], axis=0)],
        [node("Clip", ["v"], "w", min=0.0)],
        [node("DequantizeLinear", ["codes", ""], "w")],
        [node("QuantizeLinear", ["v", ""], "c"), node("DequantizeLinear", ["c", "gain"], "w")],
        [node("DequantizeLinear", ["codes", "pairs"], "w", axis=0)],
    ],
    ids=lambda nodes: " ".join([nodes[0].op_type, *nodes[0].input[1:]]),
)
def test_what_a_graph_states_wrongly_is_not_computed(nodes: list[onnx.NodeProto]) -> None:
    constants = {
        "v": random_array(4, 2, 3, 3), "codes": random_array(4, 2, 3, 3, dtype="int8"), "three": np.array([3]),
        "five": np.array([5]), "pair": np.array([0, 1]), "zeros": np.array([0, 0]), "gain": np.float32(2),
        "pairs": random_array(2),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if any(name in n.input for n in nodes)}
    found = read(model([*nodes, node("Conv", ["x", "w"], "y")], [tensor(name, array) for name, array in used.items()]))
    stored = nodes[0].input[0]
    assert found[stored].reason == ("quantized_codes" if stored == "codes" else "nonstandard_operator")


@pytest.mark.parametrize("take", [0, 1, 2])
def test_parts_of_no_stated_size_are_equal_but_for_the_last(take: int) -> None:
    chain = Chain(random_array(7, 2, 3, 3))
    chain.add("Split", outputs=3, take=take, num_outputs=3)
    np.testing.assert_array_equal(weight_of(chain.read()["start"]), chain.value)
    assert chain.value.shape[0] == (3, 3, 1)[take]


def test_the_largest_tensor_names_a_weight_that_is_put_together() -> None:
    a, b = random_array(2, 3, 3, 3), random_array(4, 3, 3, 3, seed=1)
    nodes = [node("Concat", ["a", "b"], "w", axis=0), node("Conv", ["x", "w"], "y")]
    found = read(model(nodes, [tensor("a", a), tensor("b", b)]))
    np.testing.assert_array_equal(weight_of(found["b"]), np.concatenate([a, b]))
    assert (found["a"].reason, found["b"].notes) == ("weight_operand", ("folded",))


def test_attributes_of_old_operator_versions_are_read() -> None:
    w, gain = random_array(1, 4, 2, 9), random_array(4)
    nodes = [
        node("Squeeze", ["w"], "s", axes=[0]),
        node("Mul", ["s", "gain"], "m", axis=0, broadcast=1),
        node("Slice", ["m"], "c", axes=[2], starts=[0], ends=[3]),
        node("Pad", ["c"], "p", pads=[0, 0, 0, 0, 0, 1], value=0.5),
        node("Unsqueeze", ["p"], "u", axes=[3]),
        node("Reshape", ["u"], "k", shape=[0, -1, 4, 1]),
        node("Conv", ["x", "k"], "y"),
    ]
    found = read(model(nodes, [tensor("w", w), tensor("gain", gain)]))["w"]
    expected = np.pad((w[0] * gain[:, None, None])[:, :, :3], ((0, 0), (0, 0), (0, 1)), constant_values=0.5)
    np.testing.assert_array_equal(weight_of(found), expected[..., None])


def test_a_weight_that_is_turned_in_a_function_is_followed() -> None:
    w = random_array(3, 3, 2, 4)
    body = [node("Transpose", ["kernel"], "k", perm=[3, 2, 0, 1]), node("Conv", ["a", "k"], "out", "c")]
    imports = [helper.make_opsetid("", 18)]
    block = helper.make_function("mine", "Block", ["a", "kernel"], ["out"], body, imports)
    found = read(model([node("Block", ["x", "w"], "y", domain="mine")], [tensor("w", w)], [block]))["w"]
    np.testing.assert_array_equal(weight_of(found), w.transpose(3, 2, 0, 1))


def test_a_weight_without_an_exact_rule_is_not_computed() -> None:
    nodes = [
        node("ReduceMean", ["w"], "m", keepdims=1),
        node("Sub", ["w", "m"], "d"),
        node("Conv", ["x", "d"], "y"),
    ]
    assert read(model(nodes, [tensor("w", random_array(4, 2, 3, 3))]))["w"].reason == "nonstandard_operator"


def test_kernels_that_are_mixed_at_run_time_are_named_generators() -> None:
    nodes = [
        node("GlobalAveragePool", ["x"], "p"),
        node("Flatten", ["p"], "f"),
        node("Gemm", ["f", "fc", "b"], "g", transB=1),
        node("Softmax", ["g"], "a"),
        node("MatMul", ["a", "bank"], "m"),
        node("Reshape", ["m", "s"], "k"),
        node("Conv", ["x", "k"], "y"),
    ]
    constants = {
        "fc": random_array(4, 3),
        "b": random_array(4),
        "bank": random_array(4, 54),
        "s": np.array([2, 3, 3, 3]),
    }
    found = read(model(nodes, [tensor(name, array) for name, array in constants.items()]))
    reasons = {name: stored.reason for name, stored in found.items()}
    assert reasons == {"fc": "kernel_generator", "bank": "kernel_generator", "b": "bias", "s": "constant"}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("many_reads", [node("Add", [f"v{i}", f"v{i}"], f"v{i + 1}") for i in range(40)]),
        ("long", [node("Identity", [f"v{i}"], f"v{i + 1}") for i in range(5000)]),
        ("growing", [node("Concat", [f"v{i}"] * 60, f"v{i + 1}", axis=0) for i in range(5)]),
        ("expanded", [node("Expand", ["v0", "huge"], "v1")]),
        ("negative", [node("Reshape", ["v0", "odd"], "v1")]),
    ],
)
def test_graphs_that_compute_much_from_little_are_refused_before_anything_is_computed(
    name: str, nodes: list[onnx.NodeProto]
) -> None:
    constants = [
        tensor("v0", random_array(2, 3, 3, 3)),
        tensor("huge", np.array([2**20, 2, 3, 3, 3])),
        tensor("odd", np.array([-2, -27])),
    ]
    conv = node("Conv", ["x", f"v{len(nodes)}"], "y")
    expected = "constant" if name == "long" else "nonstandard_operator"
    assert read(model([*nodes, conv], constants))["v0"].reason == expected


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3fn"])
def test_codes_that_are_only_cast_are_scaled_by_the_factor_of_the_result(dtype: str) -> None:
    codes = np.random.default_rng(0).integers(-8, 8, (4, 2, 3, 3)).astype(getattr(ml_dtypes, dtype, dtype))
    scale = random_array(1, 4, 1, 1)
    nodes = [node("Cast", ["q"], "w", to=TensorProto.FLOAT), node("Conv", ["x", "w"], "h")]
    constants = [tensor("q", codes), tensor("s", scale)]
    whole = codes.astype("f4")
    plain = read(model([*nodes, node("Relu", ["h"], "y")], constants))["q"]
    np.testing.assert_array_equal(weight_of(plain), whole)
    scaled = read(model([*nodes, node("Mul", ["s", "h"], "y")], constants))["q"]
    np.testing.assert_array_equal(weight_of(scaled), whole * scale.reshape(4, 1, 1, 1))
    gated = [node("Sigmoid", ["x"], "g"), node("Mul", ["h", "g"], "y")]
    assert read(model([*nodes, *gated], constants))["q"].reason == "quantized_codes"


def test_the_scale_of_a_float_weight_is_no_part_of_it() -> None:
    w = random_array(4, 2, 3, 3, dtype="float16")
    nodes = [
        node("Cast", ["w"], "c", to=TensorProto.FLOAT),
        node("Conv", ["x", "c"], "h"),
        node("Mul", ["h", "s"], "y"),
    ]
    found = read(model(nodes, [tensor("w", w), tensor("s", np.float32(2))]))["w"]
    np.testing.assert_array_equal(weight_of(found), w.astype("f4"))


def test_names_that_mean_something_elsewhere_are_weights_where_the_graph_convolves_with_them() -> None:
    names = ["exp_avg", "optimizer.conv.weight", "model_ema.weight", "avg_branch.weight", "normal.weight", "sum"]
    names += ["pos_embed", "constant_input.weight", "conv.weight_mask", "conv.weight_v", "bn.weight", "w.stft.conv"]
    chain = [f"v{i}" for i in range(len(names))] + ["y"]
    nodes = [node("Conv", [chain[i], name], chain[i + 1], f"n{i}") for i, name in enumerate(names)]
    first = node("Identity", ["x"], "v0")
    found = read(
        model([first, *nodes], [tensor(name, random_array(2, 2, 3, 3, seed=i)) for i, name in enumerate(names)])
    )
    classified = classify_tensors(found.values())
    assert [layer.tensor.name for layer in classified.emitted] == names
    assert {layer.weight_kind for layer in classified.layers} == {"learned"}


def test_only_the_bytes_of_the_tensors_that_a_weight_is_computed_from_are_read() -> None:
    codes, scale, other = random_array(64, 32, 3, 3, dtype="int8"), random_array(64), random_array(64, 32, 3, 3)
    nodes = [
        node("Transpose", ["q"], "t", perm=[3, 2, 0, 1]),
        node("DequantizeLinear", ["t", "s"], "w", axis=0),
        node("Conv", ["x", "w"], "h"),
        node("MatMul", ["h", "m"], "y"),
    ]
    stored = [tensor("m", other), tensor("q", codes.transpose(2, 3, 1, 0)), tensor("m2", other), tensor("s", scale)]
    file = WantedFile(model(nodes, stored).SerializeToString(), "model.onnx")
    found = {one.name: one for one in READER.tensors(OneFile(file))}["q"]
    assert sum(stop - start for start, stop in file.reads) < 20_000
    file.forget()
    prefetch(found.weight_spans())
    weight = weight_of(found)
    np.testing.assert_array_equal(weight, codes.astype("f4") * scale.reshape(64, 1, 1, 1))
    assert file.unwanted == []
    assert sum(stop - start for start, stop in file.wanted) == codes.nbytes + scale.nbytes


# Attributes and operands that no exporter writes.
ODD = st.integers(-5, 5) | st.sampled_from([2**31, -(2**31), 2**63 - 1, -(2**63)])
NAMES = st.sampled_from(
    ["axis", "axes", "perm", "shape", "split", "starts", "ends", "steps", "block_size", "to", "start"]
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_a_node_states_a_weight_is_computed_or_named_a_reason(data: st.DataObject) -> None:
    arrays = {
        "w": random_array(2, 2, 3, 3),
        "q": random_array(2, 2, 3, 3, dtype="int8"),
        "row": random_array(2),
        "one": np.float32(2),
        "grid": random_array(2, 1, 3, 3),
        "zero": np.zeros((), "i1"),
        "none": np.zeros(0, "f4"),
        "ints": np.array(data.draw(st.lists(ODD, max_size=4)), "i8"),
    }
    nodes, known = [], [*arrays, "", "x"]
    for i in range(data.draw(st.integers(1, 3))):
        operator = data.draw(st.sampled_from(sorted({*FOLD_RULES[""], "Conv", "ConvInteger", "QLinearConv"})))
        inputs = data.draw(st.lists(st.sampled_from(known), max_size=6))
        attributes = data.draw(st.dictionaries(NAMES, ODD | st.lists(ODD, min_size=1, max_size=4), max_size=3))
        nodes.append(helper.make_node(operator, inputs, [f"v{i}", f"u{i}"], **attributes))
        known += [f"v{i}", f"u{i}"]
    operator, slot = data.draw(st.sampled_from([("Conv", 1), ("ConvInteger", 1), ("QLinearConv", 3)]))
    inputs = data.draw(st.lists(st.sampled_from(known), min_size=8, max_size=8))
    inputs[slot] = data.draw(st.sampled_from(known[len(arrays) + 2 :]))
    nodes.append(helper.make_node(operator, inputs, ["y"]))
    try:
        found = read(model(nodes, [tensor(name, array) for name, array in arrays.items()]))
    except CheckpointError:
        return
    for stored in found.values():
        for layer in stored.parts or (stored,):
            if layer.convolution is not None:
                assert weight_of(layer).shape == layer.weight_shape


CHOOSING = {
    "GatherND": ([node("GatherND", ["w", "how"], "chosen")], np.array([[0], [3], [1]])),
    "GatherElements": ([node("GatherElements", ["w", "how"], "chosen")], np.zeros((4, 2, 3, 3), "i8")),
    "ScatterND": ([node("ScatterND", ["w", "how", "updates"], "chosen")], np.array([[0], [3]])),
}


@pytest.mark.parametrize("operator", CHOOSING)
def test_what_chooses_elements_of_a_weight_is_no_code(operator: str) -> None:
    nodes, how = CHOOSING[operator]
    weights = {"w": random_array(4, 2, 3, 3), "updates": random_array(2, 2, 3, 3)}
    used = {name: array for name, array in weights.items() if name in nodes[0].input}
    constants = [tensor(name, array) for name, array in {**used, "how": how}.items()]
    found = read(model([*nodes, node("Conv", ["x", "chosen"], "y")], constants))
    assert {name: one.reason for name, one in found.items()} == {
        **dict.fromkeys(used, "nonstandard_operator"), "how": "constant"
    }  # fmt: skip
