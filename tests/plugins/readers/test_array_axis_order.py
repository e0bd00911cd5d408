"""The order of axes is told by what the file proves, for every framework that stores arrays by name; never guessed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from safetensors.numpy import save

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl_plugins.readers.arrays.axis_order import proven_place
from filtercrawl_plugins.readers.npz import NpzReader
from filtercrawl_plugins.readers.safetensors import SafetensorsReader
from support.torch_files import OneFile

Shapes = Mapping[str, Sequence[int]]


def make_arrays(shapes: Shapes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


def read_npz(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str | None]]:
    """Return the kernels `[out, in, *k]` by name, and the reason of every array."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return classified(NpzReader(), buffer.getvalue())


def classified(reader: NpzReader | SafetensorsReader, data: bytes) -> tuple[dict[str, np.ndarray], dict]:
    found = classify_tensors(reader.tensors(OneFile(MemoryFile(data))), "all")
    kernels = {}
    for layer in found.layers:
        assert layer.tensor.location is not None
        raw = layer.tensor.location.read(tuple((0, size) for size in layer.tensor.shape))
        kernels[layer.tensor.name] = raw.reshape(-1).view("<f4").reshape(layer.shape)
    return kernels, {entry.tensor: entry.reason for entry in found.ledger}


@pytest.mark.parametrize(
    ("shapes", "order"),
    [
        # Flax: a kernel is called so.
        ({"params/conv_init/kernel": (7, 7, 3, 16), "params/bn_init/scale": (16,)}, "hwio"),
        # Haiku: a tilde in the path; TensorFlow: a number after the name; both call a kernel `w` or `W`.
        ({"resnet/~/initial_conv/w": (3, 3, 8, 8)}, "hwio"),
        ({"conv0/W:0": (3, 3, 3, 3), "conv0/bn/gamma:0": (3,)}, "hwio"),
        ({"vgg_16/conv1/conv1_1/weights": (3, 3, 3, 16), "vgg_16/conv1/conv1_1/biases": (16,)}, "hwio"),
        # Objax and hand-written files: the shape proves it.
        ({"conv1/w": (5, 5, 3, 16), "conv2/w": (3, 3, 4, 4)}, "hwio"),
        ({"conv1/w": (16, 3, 5, 5), "conv2/w": (4, 4, 3, 3)}, "oihw"),
        ({"conv1/w": (3, 3, 3, 8), "conv1/b": (8,)}, "hwio"),
        # Chainer, whose normalization has its own names, and whose bias tells transposed convolutions.
        ({"conv/W": (3, 3, 3, 3), "bn/avg_mean": (3,), "bn/avg_var": (3,)}, "oihw"),
        ({"up/W": (8, 4, 2, 2), "up/b": (4,), "bn/avg_mean": (4,)}, "iohw"),
        # MLX saves `.npz` as well; its names are those of torch.
        ({"conv1.weight": (16, 3, 3, 5), "conv2.weight": (4, 3, 3, 3)}, "ohwi"),
        ({"conv1.weight": (16, 3, 3, 5), "conv1.bias": (16,)}, "ohwi"),
        ({"conv1.weight": (16, 5, 3, 3), "conv2.weight": (3, 3, 3, 3), "conv3.weight": (8, 8, 1, 1)}, "oihw"),
        ({"conv.weight": (64, 64, 1, 1)}, "oihw"),
        ({"conv.weight": (64, 1, 1, 7)}, "oihw"),
        # Lists of weights and biases, in which each layer takes what the one before it puts out.
        ({"pnet.0": (3, 3, 3, 10), "pnet.1": (10,), "pnet.2": (3, 3, 10, 16), "pnet.3": (16,)}, "hwio"),
        ({"arr_0": (16, 3, 5, 5), "arr_1": (16,), "arr_2": (8, 16, 1, 1), "arr_3": (8,)}, "oihw"),
        # Flax gives modules numbers: there, one output is one output.
        ({"Head_0/Conv_0/kernel": (1, 1, 8, 1)}, "hwio"),
        # Depthwise: `[h, w, in, multiplier]`.
        ({"block/depthwise_kernel": (3, 3, 8, 1)}, "hwi1"),
        ({"block_1_depthwise/kernel": (3, 3, 8, 1), "Conv1/kernel": (3, 3, 3, 8)}, "hwi1 hwio"),
        ({"block/depthwise/kernel": (3, 3, 1, 8)}, "hwio"),
        ({"conv2d_transpose/kernel:0": (3, 3, 8, 4), "conv2d_transpose/bias:0": (8,)}, "hwoi"),
    ],
)
def test_the_order_is_that_of_the_framework(shapes: Shapes, order: str) -> None:
    arrays = make_arrays(shapes)
    kernels, reasons = read_npz(arrays)
    expected = {name: array for name, array in arrays.items() if array.ndim == 4}
    assert kernels.keys() == expected.keys(), reasons
    orders = order.split() * len(expected)
    for (name, array), letters in zip(expected.items(), orders, strict=False):
        target = "iohw" if letters.endswith("1") else "oihw"
        wanted = np.einsum(f"{letters.replace('1', 'o')}->{target}", array)
        assert kernels[name].shape == wanted.shape
        assert kernels[name].tobytes() == np.ascontiguousarray(wanted).tobytes()


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        # Nothing tells: no framework, no bias, no square that is not in both places.
        ({"conv/w": (3, 3, 3, 3)}, "unknown_layout"),
        ({"conv/w": (8, 8, 3, 3)}, "unknown_layout"),
        ({"arr_0": (16, 3, 3, 3), "arr_1": (16,)}, "unknown_layout"),
        ({"pnet.0": (3, 3, 3, 10), "pnet.1": (10,)}, "unknown_layout"),
        # Images and labels, of which the second set is of the same size.
        ({"arr_0": (60, 3, 32, 32), "arr_1": (60,), "arr_2": (20, 3, 32, 32), "arr_3": (20,)}, "unknown_layout"),
        ({"arr_0": (60, 28, 28, 1), "arr_1": (60,), "arr_2": (20, 28, 28, 1), "arr_3": (20,)}, "unknown_layout"),
        ({"arr_0": (3, 3, 8, 8), "arr_1": (8, 8, 3, 3), "arr_2": (3, 3, 8, 8)}, "unknown_layout"),
        # One output, or a depthwise kernel of Keras 3.
        ({"mask/kernel": (3, 3, 8, 1)}, "unknown_layout"),
        ({"deconv/kernel": (3, 3, 8, 8)}, "unknown_layout"),
        # Matrices with more than two axes: heads of an attention, layers of a scan, one matrix a place.
        ({"att/query/kernel": (24, 2, 12), "att/query/bias": (2, 12)}, "linear"),
        ({"att/qkv/kernel": (24, 3, 2, 12), "att/qkv/bias": (3, 2, 12)}, "linear"),
        ({"local_conv/kernel": (5, 4, 27, 8), "local_conv/bias": (5, 4, 8)}, "nonstandard_operator"),
        ({"blocks/mlp/kernel": (12, 24, 96)}, "unknown_layout"),
        ({"lstm/kernel": (3, 3, 8, 16), "lstm/recurrent_kernel": (3, 3, 4, 16), "lstm/bias": (16,)}, "recurrent"),
    ],
)
def test_nothing_is_guessed(shapes: Shapes, reason: str) -> None:
    kernels, reasons = read_npz(make_arrays(shapes))
    assert kernels == {}
    assert reasons[next(iter(shapes))] == reason


KERNEL, VECTORS = (8, 4, 3, 3), {f"conv1_bn_{leaf}": (8,) for leaf in ("scale", "offset", "mean", "variance")}


@pytest.mark.parametrize(
    ("shapes", "order"),
    [
        ({"conv2d_0.w_0": KERNEL, "conv2d_0.b_0": (8,)}, "oihw"),
        ({"depthwise_conv2d_12.w_0": (4, 1, 3, 3)}, "oihw"),
        ({"conv2d_transpose_0.w_0": KERNEL, "conv2d_transpose_0.b_0": (4,)}, "iohw"),
        ({"res2a_branch2a_weights": (3, 3, 3, 3)} | VECTORS, "oihw"),
    ],
)
def test_names_of_paddle(shapes: Shapes, order: str) -> None:
    arrays = make_arrays(shapes)
    kernels, reasons = read_npz(arrays)
    name = next(iter(shapes))
    assert kernels[name].tobytes() == np.einsum(f"{order}->oihw", arrays[name]).tobytes()
    assert set(reasons.values()) <= {None, "bias", "norm"}


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"conv2d_transpose_0.w_0": KERNEL}, "unknown_layout"),  # the groups are unknown
        ({"conv2d_transpose_0.w_0": KERNEL, "conv2d_transpose_0.b_0": (8,)}, "unknown_layout"),
        ({"conv2d_0.w_0": KERNEL, "conv2d_0.b_0": (5,)}, "unknown_layout"),
        ({"conv2d_0.w_0": (8, 4, 3)}, "other"),
        ({"res2a_weights": (3, 3, 3, 3)}, "other"),  # nothing shows a program of Paddle
        ({"fc6_weights": (8, 5)} | VECTORS, "linear"),
    ],
)
def test_names_of_paddle_that_do_not_tell(shapes: Shapes, reason: str) -> None:
    kernels, reasons = read_npz(make_arrays(shapes))
    assert (kernels, reasons[next(iter(shapes))]) == ({}, reason)


def test_slots_of_tensorflow() -> None:
    slots = ("", "/Momentum", "/Adam_1", "/ExponentialMovingAverage", "/mask")
    arrays = make_arrays({f"net/conv/weights{slot}:0": (3, 3, 4, 8) for slot in slots} | {"net/conv/biases:0": (8,)})
    kernels, reasons = read_npz(arrays)
    name = "net/conv/weights/ExponentialMovingAverage:0"
    assert kernels.keys() == {name}
    assert kernels[name].tobytes() == np.einsum("hwio->oihw", arrays[name]).tobytes()
    told = [reasons[f"net/conv/weights{slot}:0"] for slot in slots]
    assert told == ["raw_copy", "optimizer_state", "optimizer_state", None, "other"]


def test_a_slot_of_another_shape_or_without_its_variable() -> None:
    average = "a/weights/ExponentialMovingAverage"
    kernels, reasons = read_npz(make_arrays({"a/weights": (3, 3, 4, 8), average: (3, 3, 2, 8), "b/w_momentum": KERNEL}))
    assert kernels.keys() == {"a/weights", average}
    assert reasons["b/w_momentum"] == "other"
    kernels, _ = read_npz(make_arrays({average: (3, 3, 4, 8)}))
    assert kernels[average].shape == (8, 4, 3, 3)


def test_moments_of_caffe2() -> None:
    kernels, reasons = read_npz(make_arrays({"conv1_w": KERNEL, "conv1_b": (8,), "conv1_w_momentum": KERNEL}))
    assert kernels.keys() == {"conv1_w"}
    assert reasons["conv1_w_momentum"] == "optimizer_state"


def test_projections_of_an_attention_are_no_convolutions() -> None:
    names = ("query", "key", "value")
    shapes = {f"encoder/patch_attention/{name}/kernel": (24, 2, 12) for name in names}
    kernels, reasons = read_npz(make_arrays({**shapes, "encoder/patch_attention/out/kernel": (2, 12, 24)}))
    assert kernels == {}
    assert set(reasons.values()) == {"linear"}


def test_the_moments_of_an_optimizer_are_no_kernels() -> None:
    shapes = {"params/conv/kernel": (3, 3, 3, 8), "opt_state/0/mu/conv/kernel": (3, 3, 3, 8)}
    kernels, reasons = read_npz(make_arrays(shapes))
    assert list(kernels) == ["params/conv/kernel"]
    assert reasons["opt_state/0/mu/conv/kernel"] == "optimizer_state"


def test_weights_that_are_normalized_on_every_call_are_standardized() -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer, **make_arrays({"root/standardized_conv2d/kernel": (7, 7, 3, 8), "head/conv2d/kernel": (1, 1, 8, 2)})
    )
    found = classify_tensors(NpzReader().tensors(OneFile(MemoryFile(buffer.getvalue()))), "all")
    assert [layer.weight_kind for layer in found.layers] == ["standardized", "learned"]


@pytest.mark.parametrize(
    ("framework", "name", "order"),
    [("pt", "conv.weight", "oihw"), ("mlx", "conv.weight", "ohwi"), ("flax", "conv.kernel", "hwio"),
     ("tf", "net/conv/kernel:0", "hwio"), (None, "conv.weight", "oihw"), ("other", "conv.kernel", "hwio")],
)  # fmt: skip
def test_the_metadata_of_safetensors_name_the_framework(framework: str | None, name: str, order: str) -> None:
    """Three channels and a kernel of three taps: the shape alone would not tell."""
    array = make_arrays({name: (3, 3, 3, 3)})[name]
    data = save({name: array}, None if framework is None else {"format": framework})
    kernels, _ = classified(SafetensorsReader(), data)
    assert kernels[name].tobytes() == np.ascontiguousarray(np.einsum(f"{order}->oihw", array)).tobytes()


def test_a_kernel_in_a_torch_file_is_no_weight() -> None:
    """StyleGAN's fixed filters are buffers called `kernel`."""
    shapes = {"blur.kernel": (1, 1, 4, 4), "conv.weight": (8, 3, 3, 3)}
    for data in (save(make_arrays(shapes), {"format": "pt"}), save(make_arrays(shapes))):
        kernels, reasons = classified(SafetensorsReader(), data)
        assert list(kernels) == ["conv.weight"]
        assert reasons["blur.kernel"] == "other"


@pytest.mark.parametrize(
    ("shape", "bias", "place"),
    [((16, 3, 7, 7), None, "last"), ((7, 7, 3, 16), None, "first"), ((16, 7, 7, 3), None, "middle"),
     ((16, 3, 1, 7), None, None), ((64, 64, 3, 3), None, None), ((3, 3, 3, 8), (8,), "first"),
     ((5, 3, 8), (8,), "first"), ((8, 5, 3), (8,), None),
     ((16, 2, 3, 3, 3), None, "last"), ((3, 3, 3, 2, 16), None, "first")],
)  # fmt: skip
def test_shapes_prove_a_place_or_nothing(
    shape: tuple[int, ...], bias: tuple[int, ...] | None, place: str | None
) -> None:
    assert proven_place(shape, bias) == place
