"""Every tensor is a layer or has one reason from the vocabulary, whatever a state dict holds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl.api.vocabulary import POLICIES, REASONS, KernelPolicy
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.to_float32 import to_float32


class Vast:
    """A file that is as large as anybody claims, and is never read."""

    name = "vast"
    size = 1 << 80

    def read(self, offset: int, length: int) -> bytes:
        raise AssertionError((offset, length))


def stored(key: str, shape: tuple[int, ...], dtype: str = "float32", root: tuple[str, ...] = ()) -> StoredTensor:
    extent = TensorLocation(file=Vast(), offset=0, dtype=dtype, shape=shape)
    return StoredTensor(name=".".join((*root, key)), key=key, root=root, shape=shape, dtype=dtype, location=extent)


WORDS = [
    *("weight", "bias", "conv", "conv1", "bn1", "norm", "running_mean", "num_batches_tracked", "0", "1", "layers"),
    *("pos_embed", "module", "_orig_mod", "weight_v", "weight_g", "weight_orig", "parametrizations", "original1"),
    *("exp_avg", "optimizer", "ema", "model_ema", "emb", "stft", "mask", "scale", "gamma", "weight_ih_l0", "relu"),
]
KEYS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(".".join)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 3, 7, 64, 600]), max_size=6).map(tuple)
TENSORS = st.builds(
    stored, KEYS, SHAPES, st.sampled_from(sorted(ITEMSIZE)), st.lists(st.sampled_from(WORDS), max_size=2).map(tuple)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TENSORS, max_size=12, unique_by=lambda tensor: tensor.name), st.sampled_from(POLICIES))
def test_the_ledger_balances(tensors: list[StoredTensor], policy: KernelPolicy) -> None:
    extracted = classify_tensors(tensors, policy)
    assert [entry.tensor for entry in extracted.ledger] == [tensor.name for tensor in tensors]
    emitted = {layer.tensor.name for layer in extracted.emitted}
    for entry, tensor in zip(extracted.ledger, tensors, strict=True):
        assert (entry.shape, entry.dtype) == (tensor.shape, tensor.dtype)
        assert (entry.tensor in emitted) == (entry.reason is None)
        assert entry.reason is None or entry.reason in REASONS
    for layer in extracted.layers:
        assert math.prod(layer.shape) == math.prod(layer.tensor.shape) > 0
        assert layer.n_kernels * layer.taps == math.prod(layer.shape)
        assert (layer.exclusion_reason is None) == (layer.tensor.name in emitted)
        assert not layer.operator_verified
        assert layer.path


@settings(max_examples=100, deadline=None)
@given(st.lists(TENSORS, max_size=8, unique_by=lambda tensor: tensor.name))
def test_a_wider_policy_only_adds(tensors: list[StoredTensor]) -> None:
    names = [[layer.tensor.name for layer in classify_tensors(tensors, policy).emitted] for policy in POLICIES]
    for narrow, wide in pairwise(names):
        assert set(narrow) <= set(wide)
    layers = [classify_tensors(tensors, policy).layers for policy in POLICIES]
    assert len({tuple(replace(layer, exclusion_reason=None) for layer in found) for found in layers}) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_policies(policy: KernelPolicy) -> None:
    sizes = {"a.weight": (3, 3), "b.weight": (1, 1), "c.weight": (1, 7), "d.weight": (3,), "e.weight": (3, 3, 3)}
    found = classify_tensors([stored(name, (4, 2, *size)) for name, size in sizes.items()], policy)
    assert {layer.tensor.name: layer.exclusion_reason for layer in found.layers} == {
        "3x3": dict.fromkeys(sizes, "kernel_size") | {"a.weight": None, "b.weight": "pointwise"},
        "spatial": dict.fromkeys(sizes) | {"b.weight": "pointwise"},
        "all": dict.fromkeys(sizes),
    }[policy]


def test_only_what_lies_below_the_prefix_is_the_model() -> None:
    tensors = [stored(f"{part}.conv.weight", (2, 2, 3, 3)) for part in ("student", "teacher", "teacher2")]
    found = classify_tensors(tensors, prefix="teacher.")
    assert [entry.reason for entry in found.ledger] == ["outside_prefix", None, "outside_prefix"]
    assert found.num_params == 36


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(FormatError, match=r"2 tensors named 'a\.weight'"):
        classify_tensors([stored("a.weight", (1,)), stored("a.weight", (2,))])


def test_a_word_that_is_not_in_the_vocabulary_is_refused() -> None:
    with pytest.raises(FormatError, match="'because', which is not in the vocabulary"):
        classify_tensors([replace(stored("a.weight", (1,)), reason="because")])


@pytest.mark.parametrize(
    ("shape", "op", "groups"),
    [((4, 2, 3), "conv2d", 1), ((4, 2, 3, 3), "conv1d", 1), ((5, 2, 3, 3), "conv2d", 2), ((4, 2, 3, 3), "conv2d", 0)],
)
def test_an_operator_that_does_not_fit_its_weight_is_none(shape: tuple[int, ...], op: str, groups: int) -> None:
    convolution = Convolution(op=op, groups=groups, source="onnx_graph")  # type: ignore[arg-type]
    (entry,) = classify_tensors([replace(stored("w", shape), convolution=convolution)]).ledger
    assert entry.reason == "nonstandard_operator"


@pytest.mark.parametrize(
    ("op", "groups", "shape", "expected", "inputs", "depthwise"),
    [
        ("conv2d", 1, (8, 4, 3, 3), (8, 4, 3, 3), 4, False),
        ("conv2d", 4, (8, 1, 3, 3), (8, 1, 3, 3), 4, True),
        ("conv2d", 1, (8, 1, 3, 3), (8, 1, 3, 3), 1, False),
        ("conv_transpose2d", 1, (8, 4, 3, 3), (4, 8, 3, 3), 8, False),
        ("conv_transpose2d", 2, (8, 3, 5, 3), (6, 4, 5, 3), 8, False),
        ("conv_transpose1d", 8, (8, 2, 5), (16, 1, 5), 8, True),
    ],
)
def test_what_an_operator_proves(
    op: str, groups: int, shape: tuple[int, ...], expected: tuple[int, ...], inputs: int, depthwise: bool
) -> None:
    convolution = Convolution(op=op, groups=groups, source="module")  # type: ignore[arg-type]
    (layer,) = classify_tensors([replace(stored("w", shape), convolution=convolution)]).layers
    assert (layer.shape, layer.in_channels, layer.depthwise) == (expected, inputs, depthwise)
    assert layer.operator_verified


@pytest.mark.parametrize(
    ("layout", "op"), [("kio", "conv2d"), ("koi", "conv_transpose2d"), ("iok", "conv_transpose2d")]
)
def test_the_order_of_axes_tells_a_transposed_convolution(layout: str, op: str) -> None:
    weight = np.arange(8 * 4 * 9, dtype="f4").reshape(8, 4, 3, 3)
    tensor = replace(stored("a.kernel", weight.shape), layout=layout)
    location = TensorLocation(file=MemoryFile(weight.tobytes()), offset=0, dtype="float32", shape=weight.shape)
    (layer,) = classify_tensors([replace(tensor, location=location)], "all").layers
    assert (layer.op, layer.groups, layer.operator_verified) == (op, None, False)
    assert np.array_equal(to_float32(layer, 1, 5, torch.device("cpu")), weight[1:5])


def test_numbers_that_are_not_there_are_unreadable() -> None:
    tensor = replace(stored("conv.weight", (2, 2, 3, 3)), location=None)
    assert classify_tensors([tensor]).ledger[0].reason == "unreadable"
    with pytest.raises(FormatError):
        TensorLocation(file=MemoryFile(bytes(8)), offset=0, dtype="float32", shape=(3,))
