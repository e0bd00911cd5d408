"""TFLite models give every constant, kernels in the order of torch with the operators of the graph."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import CheckpointError, FormatError, TruncatedError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl_plugins.readers.tflite.reader import TfliteReader
from support.damage import damaged
from support.recording_file import WantedFile, want_all
from support.tflite_models import Node, Sparsity, Tensor, model
from support.torch_files import OneFile
from support.zoo_files import layers, models

READER = TfliteReader()
RNG = np.random.default_rng(0)
CONV, DEPTHWISE, DEQUANTIZE, DENSE, TRANSPOSED, DENSIFY, CONV_3D, CONV_3D_TRANSPOSED = 3, 4, 6, 9, 67, 124, 132, 141
SAME_STRIDE_2 = {0: ("int8", 0), 1: ("int32", 2), 2: ("int32", 2)}
VALID = {0: ("int8", 1), 1: ("int32", 1), 2: ("int32", 1)}


def array(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("f4")


def constant(name: str, data: np.ndarray, **facts: object) -> Tensor:
    return Tensor(name=name, shape=data.shape, data=data, dtype=facts.pop("dtype", str(data.dtype)), **facts)  # type: ignore[arg-type]


def one_node(code: int, weight: Tensor, data: tuple[int, ...], **options: object) -> bytes:
    """A model of one operator with a bias."""
    tensors = [Tensor(name="x", shape=data), weight, Tensor(name="y", shape=(1, 1)), constant("b", array(3))]
    names = ["x", weight.name, "b"]
    if code in (TRANSPOSED, CONV_3D_TRANSPOSED):
        tensors.append(constant("size", np.array([1, 4, 4, 3], "i4")))
        names = ["size", weight.name, "x", "b"]
    return model(tensors, [Node(code=code, inputs=names, outputs=["y"], options=options.get("options", VALID))])  # type: ignore[arg-type]


def read(data: bytes) -> dict[str, StoredTensor]:
    file = MemoryFile(data, "m.tflite")
    assert READER.can_read(file)
    return {tensor.name: tensor for tensor in READER.tensors(OneFile(file))}


def kernels(data: bytes) -> dict[str, np.ndarray]:
    """Return the kernels `[out, in/groups, *k]` as float32."""
    found = classify_tensors(read(data).values(), "all")
    cpu = torch.device("cpu")
    return {layer.tensor.name: to_float32(layer, 0, layer.shape[0], cpu).numpy() for layer in found.layers}


@pytest.mark.parametrize(
    ("code", "shape", "data", "order", "op", "groups"),
    [
        (CONV, (8, 3, 5, 4), (1, 9, 9, 4), "ohwi->oihw", "conv2d", 1),
        (CONV, (8, 3, 3, 2), (1, 9, 9, 4), "ohwi->oihw", "conv2d", 2),
        (DEPTHWISE, (1, 3, 3, 8), (1, 9, 9, 4), "uhwo->ouhw", "conv2d", 4),
        (TRANSPOSED, (3, 2, 2, 5), (1, 2, 2, 5), "ohwi->oihw", "conv_transpose2d", 1),
        (CONV_3D, (2, 3, 3, 4, 6), (1, 5, 9, 9, 4), "dhwio->oidhw", "conv3d", 1),
        (CONV_3D_TRANSPOSED, (2, 3, 3, 6, 4), (1, 5, 9, 9, 4), "dhwoi->oidhw", "conv_transpose3d", 1),
    ],
)
def test_kernels_lie_as_torch_has_them(
    code: int, shape: tuple[int, ...], data: tuple[int, ...], order: str, op: str, groups: int
) -> None:
    weight = array(*shape)
    made = one_node(code, constant("w", weight), data)
    expected = np.ascontiguousarray(np.einsum(order, weight))
    assert kernels(made)["w"].tobytes() == expected.tobytes()
    tensor = read(made)["w"]
    assert tensor.convolution is not None
    assert (tensor.convolution.op, tensor.convolution.groups) == (op, groups)
    assert read(made)["b"].reason == "bias"


def test_the_settings_of_a_convolution_are_those_of_its_options() -> None:
    weight = constant("w", array(8, 3, 3, 4))
    stated = {"op": "conv2d", "groups": 1, "n_calls": 1, "source": "tflite_graph", "dilation": (1, 1)}
    same = read(one_node(CONV, weight, (1, 8, 9, 4), options=SAME_STRIDE_2))["w"].convolution
    assert same == Convolution(**stated, stride=(2, 2), padding=(0, 1, 1, 1))  # type: ignore[arg-type]
    valid = read(one_node(CONV, weight, (1, 8, 9, 4)))["w"].convolution
    assert valid == Convolution(**stated, stride=(1, 1), padding=(0, 0))  # type: ignore[arg-type]
    unknown = read(one_node(CONV, weight, ()))["w"]
    assert (unknown.convolution, unknown.layout) == (None, "oki")


@given(
    st.sampled_from([(CONV, (4, 3, 3, 2), 0), (DEPTHWISE, (1, 3, 3, 4), 3)]),
    st.sampled_from(["int8", "uint8"]),
    st.booleans(),
)
def test_codes_become_weights_by_their_scales(
    case: tuple[int, tuple[int, ...], int], dtype: str, per_axis: bool
) -> None:
    code, shape, axis = case
    codes = RNG.integers(0, 127, shape).astype(dtype)
    scale = RNG.random(4 if per_axis else 1).astype("f4")
    zero = RNG.integers(0, 9, len(scale))
    weight = constant("w", codes, scale=scale.tolist(), zero_point=zero.tolist(), axis=axis if per_axis else 0)
    place = [1] * 4
    place[axis] = -1
    real = (codes.astype("i4") - zero.reshape(place).astype("i4")).astype("f4") * scale.reshape(place)
    order = "ohwi->oihw" if code == CONV else "uhwo->ouhw"
    expected = np.ascontiguousarray(np.einsum(order, real))
    assert kernels(one_node(code, weight, (1, 9, 9, 2)))["w"].tobytes() == expected.tobytes()


def test_codes_without_a_scale_are_no_weights() -> None:
    codes = np.ones((4, 3, 3, 2), "i1")
    wrong_count = constant("w", codes, scale=[0.5, 0.5], zero_point=[0, 0])
    packed = Tensor(name="w", shape=(4, 3, 3, 2), data=np.ones(36, "u1"), dtype="int4", scale=[0.5], zero_point=[0])
    sparse = constant("w", codes, sparsity=Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[4, 3, 3, 2]))
    for weight, reason in ((constant("w", codes), "quantized_codes"), (wrong_count, "quantized_codes"),
                           (packed, "quantized_codes"), (sparse, "unreadable")):  # fmt: skip
        found = classify_tensors(read(one_node(CONV, weight, (1, 9, 9, 2))).values(), "all")
        assert {entry.tensor: entry.reason for entry in found.ledger} == {"w": reason, "b": "bias"}


def test_half_precision_weights_are_found_behind_their_conversion() -> None:
    half = array(4, 3, 3, 2).astype("f2")
    tensors = [Tensor(name="x", shape=(1, 9, 9, 2)), constant("w", half), Tensor(name="wide", shape=half.shape),
               Tensor(name="y", shape=(1, 7, 7, 4))]  # fmt: skip
    nodes = [Node(code=DEQUANTIZE, inputs=["w"], outputs=["wide"]),
             Node(code=CONV, inputs=["x", "wide"], outputs=["y"], options=VALID)]  # fmt: skip
    expected = np.ascontiguousarray(half.astype("f4").transpose(0, 3, 1, 2))
    assert kernels(model(tensors, nodes))["w"].tobytes() == expected.tobytes()


def encode(
    dense: np.ndarray, order: list[int], blocks: list[tuple[int, int]], sparse: set[int]
) -> tuple[np.ndarray, list[int | tuple[list[int], list[int]]]]:
    """Return the numbers that are stored, and the levels.

    Args:
        dense: The whole tensor.
        order: Axes and blocks in the order of traversal.
        blocks: (axis, size) of each block.
        sparse: Numbers of the levels that are not dense.
    """
    sizes = [size // dict(blocks).get(axis, 1) for axis, size in enumerate(dense.shape)]
    split = [part for axis, size in enumerate(sizes) for part in (size, dict(blocks).get(axis, 1))]
    places = [2 * axis for axis in range(dense.ndim)] + [2 * axis + 1 for axis, _ in blocks]
    expanded = dense.reshape(split)
    unused = tuple(2 * axis + 1 for axis in range(dense.ndim) if axis not in dict(blocks))
    kept = [place for place in range(len(split)) if place not in unused]
    expanded = expanded.squeeze(unused).transpose([kept.index(places[number]) for number in order])
    prefixes: list[tuple[int, ...]] = [()]
    levels: list[int | tuple[list[int], list[int]]] = []
    for level, size in enumerate(expanded.shape):
        found = [[i for i in range(size) if level not in sparse or expanded[(*p, i)].any()] for p in prefixes]
        segments = [0, *np.cumsum([len(indices) for indices in found]).tolist()]
        levels.append((segments, list(chain.from_iterable(found))) if level in sparse else size)
        prefixes = [(*prefix, i) for prefix, indices in zip(prefixes, found, strict=True) for i in indices]
    return np.array([expanded[prefix] for prefix in prefixes], dense.dtype), levels


SPARSE = {
    "rows": ([0, 1, 2, 3], [], {3}),
    "all levels": ([0, 1, 2, 3], [], {0, 1, 2, 3}),
    "another order": ([3, 1, 0, 2], [], {1, 3}),
    "blocks": ([0, 1, 2, 3, 4], [(3, 4)], {3}),
    "blocks of two axes": ([0, 1, 2, 3, 4, 5], [(0, 2), (3, 4)], {0, 3}),
}


@pytest.mark.parametrize("dtype", ["f2", "f4"])
@pytest.mark.parametrize(("order", "blocks", "sparse"), SPARSE.values(), ids=SPARSE)
def test_sparse_weights_are_whole(
    order: list[int], blocks: list[tuple[int, int]], sparse: set[int], dtype: str
) -> None:
    dense = array(4, 3, 1, 8).astype(dtype)
    dense[RNG.random(dense.shape) < 0.7] = 0
    dense[1] = 0
    numbers, levels = encode(dense, order, blocks, sparse)
    for index_type in ("int32", "uint16", "uint8"):
        sparsity = Sparsity(order=order, block_map=[axis for axis, _ in blocks], levels=levels, index_type=index_type)
        weight = Tensor(name="w", shape=dense.shape, data=numbers, dtype=str(dense.dtype), sparsity=sparsity)
        tensors = [Tensor(name="x", shape=(1, 9, 9, 8)), weight, Tensor(name="whole", shape=dense.shape),
                   Tensor(name="wide", shape=dense.shape), Tensor(name="y", shape=(1, 7, 9, 4))]  # fmt: skip
        nodes = [Node(code=DENSIFY, inputs=["w"], outputs=["whole"]),
                 Node(code=DEQUANTIZE, inputs=["whole"], outputs=["wide"]),
                 Node(code=CONV, inputs=["x", "wide"], outputs=["y"], options=VALID)]  # fmt: skip
        expected = np.ascontiguousarray(dense.astype("f4").transpose(0, 3, 1, 2))
        assert kernels(model(tensors, nodes))["w"].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "sparsity",
    [
        Sparsity(order=[0, 1, 2], block_map=[], levels=[4, 3, 1]),
        Sparsity(order=[0, 1, 2, 2], block_map=[], levels=[4, 3, 1, 8]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[4, 3, 1, 1 << 30]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[4, 3, -1, 8]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[4, 3, 1, ([0, 5], [0, 1, 2, 3, 9])]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[([0, 1], [9]), 3, 1, 8]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[([0, 2], [3]), 3, 1, 8]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[([5, 0], [3]), 3, 1, 8]),
        Sparsity(order=[0, 1, 2, 3, 4], block_map=[7], levels=[4, 3, 1, 2, 4]),
        Sparsity(order=[0, 1, 2, 3], block_map=[], levels=[1, 3, 1, 8]),
    ],
)
def test_sparse_weights_that_do_not_fit_are_one_line(sparsity: Sparsity) -> None:
    weight = Tensor(name="w", shape=(4, 3, 1, 8), data=array(96), sparsity=sparsity)
    (found,) = [tensor for name, tensor in read(one_node(CONV, weight, (1, 9, 9, 8))).items() if name == "w"]
    assert found.location is not None
    with pytest.raises(FormatError, match=r"m\.tflite: an invalid sparse tensor"):
        found.location.read(tuple((0, size) for size in found.shape))


def test_constants_that_no_convolution_uses_are_none() -> None:
    weight = constant("w", array(3, 4))
    assert {name: tensor.reason for name, tensor in read(one_node(DENSE, weight, (1, 4))).items()} == {
        "w": "linear", "b": "bias"
    }  # fmt: skip
    image = constant("image", array(1, 9, 9, 2))
    made = model([image, Tensor(name="y", shape=(1,))], [Node(code=0, inputs=["image", "image"], outputs=["y"])])
    assert read(made)["image"].reason == "constant"


def test_a_weight_of_two_calls_counts_them_and_of_two_operators_is_none() -> None:
    shared = constant("w", array(1, 3, 3, 1))
    tensors = [Tensor(name="x", shape=(1, 9, 9, 1)), shared, Tensor(name="y", shape=(1, 7, 7, 1)),
               Tensor(name="z", shape=(1, 5, 5, 1))]  # fmt: skip

    def calls(second: int) -> bytes:
        return model(tensors, [Node(code=CONV, inputs=["x", "w"], outputs=["y"], options=VALID),
                               Node(code=second, inputs=["y", "w"], outputs=["z"], options=VALID)])  # fmt: skip

    twice = read(calls(CONV))["w"].convolution
    assert twice is not None
    assert twice.n_calls == 2
    assert read(calls(DEPTHWISE))["w"].reason == "nonstandard_operator"


def test_numbers_are_read_only_when_they_are_wanted() -> None:
    weight = array(256, 3, 3, 256)
    file = WantedFile(one_node(CONV, constant("w", weight), (1, 9, 9, 256)))
    tensors = list(READER.tensors(OneFile(file)))
    assert sum(stop - start for start, stop in file.reads) < 70_000 < file.size
    file.forget()
    want_all(tensors)
    assert file.reads == []


SOUND = one_node(CONV, constant("w", array(8, 3, 3, 4)), (1, 9, 9, 4))


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x1c\0\0\0TFL2" + bytes(99)])
def test_other_files_are_not_claimed(data: bytes) -> None:
    assert not READER.can_read(MemoryFile(data))


def test_damage_is_told_in_one_line() -> None:
    short = one_node(CONV, Tensor(name="w", shape=(8, 3, 3, 4), data=array(8, 3, 3, 3)), (1, 9, 9, 4))
    for data in (b"\x1c\0\0\0TFL3" + bytes(200), SOUND[: len(SOUND) // 2], short):
        with pytest.raises(FormatError, match=r"^m\.tflite: "):
            read(data)


def test_a_vector_that_claims_more_than_the_file_is_refused() -> None:
    data = bytearray(model([Tensor(name="x" * 4000, shape=(1,)) for _ in range(2)], []))
    place = bytes(data).rindex((4000).to_bytes(4, "little"))
    data[place : place + 4] = (1 << 30).to_bytes(4, "little")
    with pytest.raises((FormatError, TruncatedError)):
        read(bytes(data))


@settings(max_examples=300, deadline=None)
@given(damaged(SOUND))
def test_damaged_files_never_break_the_reader(broken: bytes) -> None:
    with suppress(CheckpointError):
        for tensor in READER.tensors(OneFile(MemoryFile(broken))):
            if tensor.location is not None:
                tensor.location.read(tuple((0, min(1, size)) for size in tensor.shape))


def test_sync_reads_tflite(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = array(8, 3, 3, 4)
    (zoo / "m.tflite").write_bytes(one_node(CONV, constant("w", weight), (1, 9, 9, 4)))
    run_sync()
    assert models(dataset)["local/m.tflite"]["format"] == "tflite"
    assert np.array_equal(layers(dataset)["local/m.tflite#w"], weight.transpose(0, 3, 1, 2))
