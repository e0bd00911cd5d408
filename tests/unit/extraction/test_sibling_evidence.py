"""Shapes prove what a weight is, whatever names say; and raw tensors are not called learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation, row_major
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl.extraction.rules import RULES
from filtercrawl.extraction.to_float32 import to_float32

Shapes = Mapping[str, tuple[int, ...]]


def classified(shapes: Shapes, root: tuple[str, ...] = ()) -> ClassifiedTensors:
    file = MemoryFile(bytes(1 << 22), "x")
    found = [
        StoredTensor(
            name=".".join((*root, key)), key=key, root=root, shape=shape, dtype="float32",
            location=TensorLocation(file=file, offset=0, dtype="float32", shape=shape),
        )
        for key, shape in shapes.items()
    ]  # fmt: skip
    sorted_out = classify_tensors(found, "all")
    assert {entry.rule for entry in sorted_out.ledger} <= RULES.keys()
    return sorted_out


def verdicts(shapes: Shapes, root: tuple[str, ...] = ()) -> dict[str, tuple[str | None, str | None]]:
    return {entry.tensor: (entry.reason, entry.rule) for entry in classified(shapes, root).ledger}


@pytest.mark.parametrize(
    "module", ["opt_encoder.0", "opt", "normal", "normal_1", "predict_normal", "norm", "bn1", "stft", "pos_embed.proj"]
)
def test_a_bias_per_channel_proves_a_convolution(module: str) -> None:
    found = classified({f"{module}.weight": (8, 3, 3, 3), f"{module}.bias": (8,)})
    assert [(layer.path, layer.weight_kind) for layer in found.layers] == [(module, "learned")]
    assert found.ledger[0].rule == "bias_per_channel"
    # Transposed, [in, out/groups, *k].
    assert verdicts({f"{module}.weight": (8, 3, 3, 3), f"{module}.bias": (6,)})[f"{module}.weight"][0] is None


@pytest.mark.parametrize("module", ["opt_encoder.0", "normal", "normals", "stft_branch.conv", "head_normal"])
def test_names_alone_exclude_nothing(module: str) -> None:
    assert [layer.weight_kind for layer in classified({f"{module}.weight": (8, 3, 3, 3)}).layers] == ["learned"]


def test_a_container_of_an_optical_branch_is_no_optimizer() -> None:
    branch = {"0.weight": (8, 3, 3, 3), "1.running_mean": (8,)}
    assert verdicts(branch, ("opt",))["opt.0.weight"][0] is None
    moments = {"exp_avg": (8, 3, 3, 3), "master.weight": (8, 3, 3, 3)}
    assert {reason for reason, _ in verdicts(moments, ("opt",)).values()} == {"optimizer_state"}


@pytest.mark.parametrize(
    ("weight", "bias", "reason"),
    [
        ((8, 16, 16), (8, 16, 16), "norm"),  # LayerNorm over three axes
        ((2, 8, 16, 16), (2, 8, 16, 16), "norm"),
        ((16, 64), (16, 64), "norm"),
        ((1, 1, 1, 32), (1, 1, 1, 32), "norm"),  # global response normalization
        ((8, 4, 3, 3), (5,), "nonstandard_operator"),
        ((8, 4, 3, 3), (3, 3), "nonstandard_operator"),
        ((8, 4, 3, 3), (1, 8, 1, 1), None),
        ((8, 4, 3, 3), (1,), None),
        ((1, 16, 32, 3, 3), (16,), "nonstandard_operator"),  # modulated
    ],
)
def test_the_shape_of_a_bias(weight: tuple[int, ...], bias: tuple[int, ...], reason: str | None) -> None:
    found = verdicts({"a.0.weight": weight, "a.0.bias": bias})
    assert found["a.0.weight"][0] == reason
    assert found["a.0.bias"][0] == ("norm" if bias == weight else "bias")


def test_the_picture_that_a_generator_starts_from_is_no_kernel() -> None:
    found = verdicts({"constant_input.weight": (1, 64, 4, 4), "main.11.weight": (1, 64, 4, 4)})
    assert found == {
        "constant_input.weight": ("nonstandard_operator", "module_name"),
        "main.11.weight": (None, "weight"),
    }


BASIS = {
    "stft.conv_real.weight": (513, 1, 1024), "stft.forward_basis": (258, 1, 256), "dft.kernel": (161, 320, 1),
    "cqt.weight": (36, 1, 1, 256),
}  # fmt: skip


def test_a_transform_is_fixed_by_name_and_shape() -> None:
    assert {layer.tensor.name: layer.weight_kind for layer in classified(BASIS).layers} == dict.fromkeys(BASIS, "fixed")


KINDS: dict[str, tuple[Shapes, str, str]] = {
    "weight_norm": ({"weight_g": (8, 1, 1, 1), "weight_v": (8, 4, 3, 3)}, "weight_v", "weight_norm"),
    "weight_norm, new": (
        {"parametrizations.weight.original0": (8, 1, 1, 1), "parametrizations.weight.original1": (8, 4, 3, 3)},
        "parametrizations.weight.original1", "weight_norm",
    ),
    "spectral_norm": (
        {"weight_orig": (8, 4, 3, 3), "weight_u": (8,), "weight_v": (36,)}, "weight_orig", "spectral_norm",
    ),
    "spectral_norm, new": (
        {"parametrizations.weight.original": (8, 4, 3, 3), "parametrizations.weight.0._u": (8,),
         "parametrizations.weight.0._v": (36,)},
        "parametrizations.weight.original", "spectral_norm",
    ),
    "spectral_norm, torch 0.4": (
        {"weight_orig": (8, 4, 3, 3), "weight_u": (8,), "weight": (8, 4, 3, 3)}, "weight_orig", "spectral_norm",
    ),
    "spectral_norm, others": ({"weight_bar": (8, 4, 3, 3), "weight_u": (8,), "weight_v": (36,)}, "weight_bar",
        "spectral_norm"),
    "spectral_norm, BigGAN": ({"weight": (8, 4, 3, 3), "u0": (1, 8), "sv0": (1,)}, "weight", "spectral_norm"),
    "spectral_norm, mimicry": ({"weight": (8, 4, 3, 3), "sn_u": (1, 8), "sn_sigma": (1,)}, "weight", "spectral_norm"),
    "orthogonal": (
        {"parametrizations.weight.original": (8, 4, 3, 3), "parametrizations.weight.0.base": (8, 36)},
        "parametrizations.weight.original", "orthogonal",
    ),
    "any parametrization": ({"parametrizations.weight.original": (8, 4, 3, 3)}, "parametrizations.weight.original",
        "parametrization"),
    "weight standardization": ({"weight_bar": (8, 4, 3, 3)}, "weight_bar", "raw_name"),
    "equalized learning rate": ({"weight_orig": (8, 4, 3, 3)}, "weight_orig", "raw_name"),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.parametrize("stated", [False, True], ids=["state dict", "module"])
def test_raw_weights_are_not_called_learned(case: str, stated: bool) -> None:
    shapes, weight, rule = KINDS[case]
    file = MemoryFile(bytes(1 << 16), "x")
    conv = Convolution(op="conv2d", groups=1, source="module")
    found = classify_tensors(
        [
            StoredTensor(
                name=f"net.conv.{key}", key=f"conv.{key}", root=("net",), shape=shape, dtype="float32",
                convolution=conv if stated and shape == (8, 4, 3, 3) else None,
                location=TensorLocation(file=file, offset=0, dtype="float32", shape=shape),
            )
            for key, shape in shapes.items()
        ],
        "all",
    )  # fmt: skip
    (layer,) = found.layers
    assert (layer.tensor.key, layer.path, layer.weight_kind) == (f"conv.{weight}", "conv", "standardized")
    others = {entry.tensor: entry.reason for entry in found.ledger if entry.reason is not None}
    assert set(others.values()) <= {"norm", "buffer"}
    assert stated or next(entry.rule for entry in found.ledger if entry.reason is None) == rule


MASKS: dict[str, tuple[str, str, str]] = {
    "prune": ("weight_orig", "weight_mask", "learned"),
    "torch.ao.pruning": ("parametrizations.weight.original", "parametrizations.weight.0.mask", "learned"),
    "a masked convolution": ("weight", "mask", "learned"),
    "prune of a weight norm": ("weight_v_orig", "weight_v_mask", "standardized"),
}


@pytest.mark.parametrize("case", MASKS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bool", "uint8"])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_masked_weight_is_the_product(case: str, dtype: str, transposed: bool) -> None:
    weight, mask, kind = MASKS[case]
    shape = (6, 4, 3, 3)
    random = np.random.default_rng(0)
    numbers, kept = random.standard_normal(shape, "f4"), random.integers(0, 2, shape).astype("u1")
    data = kept if dtype in ("bool", "uint8") else kept.astype({"float32": "f4", "float16": "f2"}[dtype])
    file = MemoryFile(numbers.tobytes() + data.tobytes(), "x")
    conv = Convolution(op="conv_transpose2d", groups=2, source="module") if transposed else None
    stored = [
        StoredTensor(
            name=key, key=f"conv.{key}", shape=shape, dtype=kept_dtype, convolution=operator,
            location=TensorLocation(file=file, offset=offset, dtype=kept_dtype, shape=shape),
        )
        for key, kept_dtype, offset, operator in ((weight, "float32", 0, conv), (mask, dtype, numbers.nbytes, None))
    ]  # fmt: skip
    found = classify_tensors(stored, "all")
    (layer,) = found.layers
    assert layer.weight_kind == kind
    assert [(entry.reason, entry.rule) for entry in found.ledger] == [
        (None, "masked"),
        ("buffer", "parametrization" if "param" in mask else found.ledger[1].rule),
    ]
    assert len(layer.spans) == 2
    product = torch.from_numpy(numbers) * torch.from_numpy(kept).float()
    if transposed:
        product = torch.cat([part.transpose(0, 1) for part in product.chunk(2)])
    read = to_float32(layer, 0, layer.out_channels, torch.device("cpu"))
    assert read.numpy().tobytes() == product.contiguous().numpy().tobytes()


@pytest.mark.parametrize("shape", [(6, 1, 1, 1), (1, 1, 3, 3), (6, 4, 1, 1), (1, 4, 3, 1)])
@pytest.mark.parametrize("names", [("weight", "mask"), ("weight_orig", "weight_mask")])
def test_a_mask_for_each_channel_or_tap_is_broadcast(shape: tuple[int, ...], names: tuple[str, str]) -> None:
    random = np.random.default_rng(0)
    numbers, kept = random.standard_normal((6, 4, 3, 3), "f4"), random.integers(0, 2, shape).astype("f4")
    file = MemoryFile(numbers.tobytes() + kept.tobytes(), "x")
    stored = [
        StoredTensor(
            name=key, key=f"conv.{key}", shape=array.shape, dtype="float32",
            location=TensorLocation(file=file, offset=offset, dtype="float32", shape=array.shape),
        )
        for key, array, offset in ((names[0], numbers, 0), (names[1], kept, numbers.nbytes))
    ]  # fmt: skip
    (layer,) = classify_tensors(stored, "all").layers
    for start, stop in ((0, 6), (2, 5)):
        read = to_float32(layer, start, stop, torch.device("cpu"))
        assert read.numpy().tobytes() == (numbers * kept)[start:stop].tobytes()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3), (4, 1, 1, 1), (1, 1, 5, 5)])
def test_a_mask_of_another_shape_masks_nothing(shape: tuple[int, ...]) -> None:
    (layer,) = classified({"conv.weight": (8, 4, 3, 3), "conv.mask": shape}).layers
    assert (layer.mask, layer.weight_kind) == (None, "learned")


@pytest.mark.parametrize(
    "state",
    [
        *("weight_fake_quant.scale", "weight_quantizer._amax", "_weight_quantizer._amax", "quan_w_fn.s"),
        "weight_quant.tensor_quant.scaling_impl.value",
    ],
)
@pytest.mark.parametrize("shape", [(8,), (8, 1, 1, 1)])
def test_a_weight_that_a_quantizer_rounds_at_run_time_is_not_learned(state: str, shape: tuple[int, ...]) -> None:
    found = classified({"c.weight": (8, 4, 3, 3), "c.bias": (8,), f"c.{state}": shape, "d.weight": (8, 4, 3, 3)})
    assert [(layer.path, layer.weight_kind) for layer in found.layers] == [("c", "standardized"), ("d", "learned")]
    assert [(entry.reason, entry.rule) for entry in found.ledger[::2]] == [
        (None, "fake_quantized"), ("quantization", "module_name")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "state", ["input_quantizer._amax", "quan_a_fn.s", "activation_post_process.scale", "quant.weight", "amax"]
)
def test_a_quantizer_of_activations_leaves_the_weight_learned(state: str) -> None:
    (layer,) = classified({"c.weight": (8, 4, 3, 3), f"c.{state}": (1,)}).layers
    assert layer.weight_kind == "learned"


@pytest.mark.parametrize("kernel", [(3,), (3, 3), (3, 3, 3)])
def test_a_weight_beside_a_gain_per_channel_is_standardized(kernel: tuple[int, ...]) -> None:
    ones = (1,) * len(kernel)
    module = {"c.weight": (8, 4, *kernel), "c.bias": (8,), "c.gain": (8, 1, *ones)}
    found = classified(module)
    assert [(layer.weight_kind, entry.rule) for layer, entry in zip(found.layers, found.ledger, strict=False)] == [
        ("standardized", "weight_standardization")
    ]
    for gain in ((), (1,), (8,), (1, 4, *ones)):
        assert classified(module | {"c.gain": gain}).layers[0].weight_kind == "learned"


@pytest.mark.parametrize("name", ["default.weight", "default"])
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (8,), (8, 1)])
def test_the_magnitudes_of_a_decomposed_weight_are_no_kernel(name: str, shape: tuple[int, ...]) -> None:
    found = verdicts({f"c.lora_magnitude_vector.{name}": shape, "c.base_layer.weight": (8, 4, 3, 3)})
    assert [reason for reason, _ in found.values()] == ["scale", None]


def test_negated_numbers() -> None:
    numbers = np.arange(-4, 5, dtype="f4").reshape(1, 1, 3, 3)
    location = TensorLocation(file=MemoryFile(numbers.tobytes(), "x"), offset=0, dtype="float32", shape=(1, 1, 3, 3))
    tensor = StoredTensor(
        name="c.weight", key="c.weight", shape=(1, 1, 3, 3), dtype="float32", location=location, negated=True
    )
    (layer,) = classify_tensors([tensor], "all").layers
    read = to_float32(layer, 0, 1, torch.device("cpu"))
    assert read.numpy().tobytes() == (-torch.from_numpy(numbers)).numpy().tobytes()


BANKS: dict[str, tuple[Shapes, tuple[int, ...], str]] = {
    "dynamic convolution": (
        {"weight": (4, 16, 8, 3, 3), "bias": (4, 16), "attention.fc1.weight": (3, 8, 1, 1),
         "attention.fc2.weight": (4, 3, 1, 1)},
        (16, 8, 3, 3), "conv2d",
    ),
    "without a bias": (
        {"weight": (4, 8, 1, 3, 3), "attention.fc2.weight": (4, 3, 1, 1)}, (8, 1, 3, 3), "conv2d",
    ),
    "tunable": ({"weight": (2, 16, 16, 3, 3), "bias": (2, 16)}, (16, 16, 3, 3), "conv2d"),
    "by shape": ({"weight": (4, 16, 16, 3, 3)}, (16, 16, 3, 3), "conv2d"),
    "depthwise": (
        {"weight": (2, 16, 5, 5), "bias": (2, 16), "proj.0.weight": (4, 16, 1, 1), "proj.1.weight": (32, 4, 1, 1)},
        (16, 1, 5, 5), "conv2d",
    ),
    "ODConv with one kernel": (
        {"weight": (1, 8, 4, 3, 3), "attention.fc.weight": (16, 4, 1, 1), "attention.channel_fc.weight": (4, 16, 1, 1),
         "attention.filter_fc.weight": (8, 16, 1, 1), "attention.spatial_fc.weight": (9, 16, 1, 1)},
        (8, 4, 3, 3), "conv2d",
    ),
    "depthwise ODConv with one kernel": (
        {"weight": (1, 8, 1, 3, 3), "attention.fc.weight": (16, 8, 1, 1), "attention.spatial_fc.weight": (9, 16, 1, 1)},
        (8, 1, 3, 3), "conv2d",
    ),
    "1-D": ({"weight": (4, 16, 8, 3), "bias": (4, 16), "attention.weight": (4, 8)}, (16, 8, 3), "conv1d"),
}  # fmt: skip


@pytest.mark.parametrize("module", ["block.conv.", ""])
@pytest.mark.parametrize("case", BANKS)
def test_stacked_kernels_are_a_bank(case: str, module: str) -> None:
    shapes, expert, op = BANKS[case]
    found = classified({f"{module}{key}": shape for key, shape in shapes.items()})
    assert [layer.tensor.bank_index for layer in found.layers] == list(range(shapes["weight"][0]))
    assert {(layer.shape, layer.op, layer.weight_kind) for layer in found.layers} == {(expert, op, "dynamic_bank")}
    for layer in found.layers:
        location = layer.tensor.location
        assert location is not None
        assert (location.shape, location.strides) == (expert, row_major(expert))
    below = {entry.reason for entry in found.ledger if "attention." in entry.tensor or "proj." in entry.tensor}
    assert below <= {"kernel_generator"}


@pytest.mark.parametrize("module", ["normalize", "norm", "pos_embed", "position_embedding", "running_mean", "rnn"])
@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ((8, 3, 3, 3), (None, "bias_per_channel")),
        ((8, 30), ("linear", "bias_per_channel")),
    ],
)
def test_a_bias_of_one_number_per_output_is_that_of_a_matrix_or_kernel(
    module: str, weight: tuple[int, ...], expected: tuple[str | None, str]
) -> None:
    found = verdicts({f"{module}.weight": weight, f"{module}.bias": (weight[0],)})
    assert found == {f"{module}.weight": expected, f"{module}.bias": ("bias", "parameter_name")}


def test_a_bias_of_the_shape_of_its_weight_is_that_of_a_normalization() -> None:
    for shape in ((8,), (8, 8), (3, 8, 8)):
        found = verdicts({"norm.weight": shape, "norm.bias": shape})
        assert {reason for reason, _ in found.values()} == {"norm"}


def test_a_parametrized_bias_is_a_bias() -> None:
    found = verdicts({f"a.parametrizations.bias.{leaf}": (8,) for leaf in ("original", "original0", "original1")})
    assert set(found.values()) == {("bias", "parameter_name")}


def test_a_bias_may_be_a_column() -> None:
    shapes = {"a.weight": (6, 1, 5, 5), "a.bias": (6, 1), "b.weight": (16, 6, 5, 5), "b.bias": (16, 1)}
    assert verdicts(shapes) == {
        "a.weight": (None, "bias_per_channel"), "a.bias": ("bias", "parameter_name"),
        "b.weight": (None, "bias_per_channel"), "b.bias": ("bias", "parameter_name"),
    }  # fmt: skip


def test_conditional_convolutions_of_unknown_shape() -> None:
    block = {"b.routing_fn.weight": (4, 40), "b.conv_pw.weight": (4, 9600), "b.conv_dw.weight": (4, 2160)}
    found = verdicts(block | {"b.se.fc.weight": (4, 8), "head.weight": (10, 40)})
    assert {name: reason for name, (reason, _) in found.items()} == {
        "b.routing_fn.weight": "kernel_generator", "b.conv_pw.weight": "nonstandard_operator",
        "b.conv_dw.weight": "nonstandard_operator", "b.se.fc.weight": "linear", "head.weight": "linear",
    }  # fmt: skip
    assert verdicts({"routing.weight": (4, 40)})["routing.weight"][0] == "linear"


@pytest.mark.parametrize("shape", [(1, 8, 4, 3, 3), (1, 8, 5, 3, 3), (1, 3, 32, 1, 1), (1, 4, 1, 3, 3)])
def test_a_kernel_whose_input_channels_a_style_scales_is_no_convolution(shape: tuple[int, ...]) -> None:
    found = verdicts({"conv.weight": shape, "conv.modulation.weight": (shape[2], 16)})
    assert found["conv.weight"] == ("nonstandard_operator", "modulated_shape")


@pytest.mark.parametrize("below", [{}, {"modulation.weight": (6, 16)}, {"attention.fc.weight": (2, 16)}])
def test_one_filter_of_three_dimensions(below: Shapes) -> None:
    found = classified({f"conv.{key}": shape for key, shape in ({"weight": (1, 8, 5, 3, 3)} | below).items()})
    assert [(layer.op, layer.kernel_size) for layer in found.layers] == [("conv3d", (5, 3, 3))]


def test_three_dimensional_kernels_are_no_bank() -> None:
    shapes = {"a.weight": (8, 4, 3, 3, 3), "b.weight": (8, 4, 3, 1, 1), "c.weight": (8, 4, 16, 7, 7), "c.bias": (8,)}
    assert [layer.op for layer in classified(shapes).layers] == ["conv3d"] * 3
    assert verdicts({"d.weight": (4, 8, 3, 3), "d.bias": (4, 8)})["d.weight"] == ("nonstandard_operator", "bank_bias")


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("body._orig_mod.0.weight", "body.0"),
        ("_fsdp_wrapped_module.body.0._checkpoint_wrapped_module.weight", "body.0"),
        ("module.body.module.0.weight", "body.0"),
        ("body._fsdp_wrapped_module._orig_mod.module.0.weight", "body.0"),
        ("module.weight", "weight"),
        ("body.module.weight", "body"),
        ("blocks.0.module.weight", "blocks.0.module"),
    ],
)
def test_wrappers_are_no_part_of_a_path(key: str, path: str) -> None:
    assert [layer.path for layer in classified({key: (8, 3, 3, 3)}).layers] == [path]


def test_a_module_called_module_beside_others_is_no_wrapper() -> None:
    found = classified({"body.module.weight": (8, 3, 3, 3), "body.other.weight": (8, 3, 3, 3)})
    assert [layer.path for layer in found.layers] == ["body.module", "body.other"]
