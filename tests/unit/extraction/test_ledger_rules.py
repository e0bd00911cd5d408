"""What a tensor is by its name and shape where nothing else tells: reason and rule, and where the rules end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction import classify
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.rules import RULES
from filtercrawl.extraction.state_dict_names import optimizer_container, split_raw_parameter_name

FILE = MemoryFile(bytes(1 << 20), "x")
Verdict = tuple[str | None, str | None]


def stored(key: str, shape: tuple[int, ...], root: tuple[str, ...] = (), dtype: str = "float32") -> StoredTensor:
    location = TensorLocation(file=FILE, offset=0, dtype=dtype, shape=shape)
    return StoredTensor(name=".".join((*root, key)), key=key, root=root, shape=shape, dtype=dtype, location=location)


def verdicts(*tensors: StoredTensor) -> dict[str, Verdict]:
    ledger = classify_tensors(tensors, "all").ledger
    assert {entry.rule for entry in ledger} <= RULES.keys()
    return {entry.tensor: (entry.reason, entry.rule) for entry in ledger}


def module(name: str, **shapes: tuple[int, ...]) -> Mapping[str, Verdict]:
    return verdicts(*(stored(f"{name}.{key}", shape) for key, shape in shapes.items()))


KERNEL: Verdict = (None, "weight")
BASIS: Verdict = (None, "basis")
NO_OPERATOR = "nonstandard_operator"


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("conv.weight", (0, 3, 3, 3), ("empty", "empty")),
        ("conv.weight", (8, 4, 3, 3, 3, 3), (NO_OPERATOR, "parameter_shape")),
        ("rnn.weight_ih_l0", (16, 8), ("recurrent", "parameter_name")),
        ("0.running_mean", (8,), ("norm", "parameter_name")),
        ("fc.step", (), ("buffer", "parameter_name")),
        # Normalizations.
        ("norm.weight", (8,), ("norm", "module_name")),
        ("norm.weight", (8, 4, 3, 3), ("norm", "module_name")),
        ("pre_norm.weight", (8, 4, 4), ("norm", "module_name")),
        ("pre_norm.weight", (1, 8, 4, 4), ("norm", "module_name")),
        ("pre_norm.weight", (8, 4, 3, 3), KERNEL),
        ("conv_norm.weight", (8, 4, 4), KERNEL),
        ("conv_norm.weight", (8,), ("norm", "parameter_shape")),
        ("0.weight", (8,), ("norm", "parameter_shape")),
        ("0.other", (8,), ("other", "none")),
        # Positions are broadcast over the batch.
        ("pos_embed", (1, 197, 768), ("attention_position", "parameter_name")),
        ("pos_embed.proj.weight", (1, 2, 3, 3), ("attention_position", "parameter_name")),
        ("pos_embed.proj.weight", (1, 1, 3, 3), KERNEL),
        ("pos_embed.proj.weight", (2, 8, 3, 3), KERNEL),
        ("pos_embed.norm.weight", (8,), ("norm", "module_name")),
        # Matrices, and other operators.
        ("experts.weight", (8, 65, 129), (NO_OPERATOR, "matrix_stack")),
        ("experts.weight", (8, 64, 129), KERNEL),
        ("experts.weight", (8, 65, 128), KERNEL),
        ("bilinear.weight", (8, 16, 16), (NO_OPERATOR, "module_name")),
        ("bilinear.weight", (8, 4, 3, 3), KERNEL),
        ("constant_input.weight", (1, 64, 4, 4), (NO_OPERATOR, "module_name")),
        ("constant_input.weight", (1, 64, 4, 8), KERNEL),
        ("constant_input.weight", (1, 1, 4, 4), KERNEL),
        ("constant_input.weight", (2, 64, 4, 4), KERNEL),
        ("mod.weight", (1, 16, 8, 3, 3), (NO_OPERATOR, "modulated_shape")),
        ("mod.weight", (1, 16, 7, 3, 3), KERNEL),
        ("mod.weight", (1, 16, 8, 8, 8), KERNEL),
        # Vectors and matrices by their names.
        ("conv.weight_scale", (8,), ("quantization", "parameter_name")),
        ("conv.weight_scale", (8, 1, 1, 1), ("scale", "parameter_name")),
        ("conv.zero_point", (1,), ("other", "none")),
        ("act.weight", (8,), ("activation", "module_name")),
        ("act.weight", (8, 4), ("linear", "parameter_shape")),
        ("layer.beta", (8,), ("scale", "parameter_name")),
        ("emb.weight", (8, 4), ("embedding", "parameter_shape")),
        ("fc.in_proj_weight", (8, 4), ("linear", "parameter_shape")),
        ("fc.parametrizations.weight.original", (8, 4), ("linear", "parameter_shape")),
        ("fc.other", (8, 4), ("other", "none")),
        # Transforms: one long axis, or frames of which the outputs are the frequencies.
        ("stft.weight", (257, 1, 512), BASIS),
        ("stft.weight", (257, 1, 15), KERNEL),
        ("stft.weight", (257, 1, 16, 16), KERNEL),
        ("dft.kernel", (161, 320, 1), BASIS),
        ("dft.kernel", (322, 320, 1), BASIS),
        ("dft.kernel", (160, 320, 1), ("other", "none")),
        ("dft.weight", (16, 16, 1), BASIS),
        ("dft.weight", (15, 15, 1), KERNEL),
        # Optimizers.
        ("layer.exp_avg", (8, 4, 3, 3), ("optimizer_state", "optimizer_name")),
        ("optimizer", (8, 4, 3, 3), ("other", "none")),
        ("optimizer.0.weight", (8, 4, 3, 3), KERNEL),
    ],
)
def test_names_and_shapes(key: str, shape: tuple[int, ...], expected: Verdict) -> None:
    assert verdicts(stored(key, shape)) == {key: expected}


@pytest.mark.parametrize(
    ("weight", "bias", "expected"),
    [
        ((4, 1, 3, 3), (4, 1), (None, "bias_per_channel")),  # a column of biases
        ((4, 1, 3, 3, 3), (4, 1), (None, "bank_bias")),
        ((8, 4, 3), (8, 4), (NO_OPERATOR, "bias_mismatch")),
        ((8, 4, 3), (8,), (None, "weight")),
        ((8, 65, 129), (8,), (NO_OPERATOR, "matrix_stack")),
        ((4, 8, 3, 5), (4, 8), (NO_OPERATOR, "bank_bias")),  # nothing computes a mixture
        ((8, 4, 3, 3, 3, 3), (8,), (NO_OPERATOR, "parameter_shape")),
        ((1, 4), (1,), ("linear", "bias_per_channel")),
        ((8, 4), (4,), ("linear", "parameter_shape")),  # not of its outputs
        ((0, 4), (0,), ("empty", "empty")),
        ((8, 0, 3, 3), (8,), ("empty", "empty")),
    ],
)
def test_a_weight_beside_its_bias(weight: tuple[int, ...], bias: tuple[int, ...], expected: Verdict) -> None:
    assert module("a.0", weight=weight, bias=bias)["a.0.weight"] == expected


@pytest.mark.parametrize(
    "below", [stored("a.gate.weight", (1, 4)), stored("a.attention.bias", (16,))], ids=["gate", "attention"]
)
def test_one_kernel_of_five_axes_is_no_bank(below: StoredTensor) -> None:
    assert verdicts(stored("a.weight", (1, 16, 4, 3, 3)), below)["a.weight"] == KERNEL


def test_vectors_do_not_mix_kernels() -> None:
    bank = (stored("a.weight", (4, 8, 3, 3)), stored("a.bias", (4, 8)))
    assert verdicts(*bank, stored("a.gate.bias", (32,)))["a.weight"] == (NO_OPERATOR, "bank_bias")
    assert verdicts(*bank, stored("a.gate.weight", (32, 4)))["a.weight"] == (None, "bank_bias")


def test_an_empty_bias_is_empty() -> None:
    assert module("fc", weight=(0, 4), bias=(0,))["fc.bias"] == ("empty", "empty")


def test_what_lies_beside_moments_is_state_of_the_optimizer() -> None:
    found = verdicts(stored("opt.0.exp_avg", (8,)), stored("opt.master.weight", (8, 4, 3, 3)))
    assert found["opt.master.weight"] == ("optimizer_state", "optimizer_container")


def test_copies_of_an_optimizer_are_no_average_of_the_model() -> None:
    shape = (8, 4, 3, 3)
    found = verdicts(stored("conv.weight", shape, ("model",)), stored("conv.weight", shape, ("optimizer", "model_ema")))
    assert found["model.conv.weight"][0] is None
    assert found["optimizer.model_ema.conv.weight"] == ("optimizer_state", "optimizer_container")


@pytest.mark.parametrize("arguments", ["hyper_parameters", "datamodule_hyper_parameters", "hparams"])
def test_arguments_of_a_trainer_are_not_the_model(arguments: str) -> None:
    shape = (8, 4, 3, 3)
    alone = stored("net.weight", shape, (arguments,))
    for root, argument in ((("state_dict",), stored(f"{arguments}.net.weight", shape)), (("state_dict", "net"), alone)):
        found = verdicts(stored("conv.weight", shape, root), argument)
        assert found[argument.name] == ("outside_prefix", "hyper_parameters")
    assert verdicts(alone) == {alone.name: KERNEL}


@pytest.mark.parametrize(("shape", "is_copy"), [((8, 4, 3, 3), True), ((8, 4, 5, 5), False)])
def test_an_average_of_another_network_is_not_swapped(shape: tuple[int, ...], is_copy: bool) -> None:
    found = verdicts(
        stored("conv.weight", (8, 4, 3, 3), ("state_dict",)),
        stored("steps", (), ("ema_state_dict",)),
        stored("module.conv.weight", shape, ("ema_state_dict",)),
    )
    swapped = found["ema_state_dict.module.conv.weight"] == ("raw_copy", "trainer_swap")
    assert swapped is is_copy


def test_a_module_may_be_called_like_buffers_of_averages() -> None:
    shape = (8, 4, 3, 3)
    found = verdicts(
        stored("conv.weight", shape), stored("ema_conv_weight", shape), stored("ema_head.weight", (9, 8, 3, 3))
    )
    assert found == {
        "conv.weight": KERNEL, "ema_conv_weight": ("raw_copy", "trainer_swap"), "ema_head.weight": KERNEL,
    }  # fmt: skip


def test_a_container_is_named_by_its_whole_path() -> None:
    assert optimizer_container(("run", "optimizer", "state"), "0.x") == ("run", "optimizer")
    assert optimizer_container(("run",), "optimizer.0.x") == ("run", "optimizer")
    assert optimizer_container(("run",), "conv.weight") is None


def test_a_word_that_ends_like_parametrizations_is_none() -> None:
    assert split_raw_parameter_name("a.parametrizations.weight.original") == (
        "a", "parametrizations.weight.original",
    )  # fmt: skip
    assert split_raw_parameter_name("a.reparametrizations.weight") == ("a.reparametrizations", "weight")


def test_integers_are_buffers() -> None:
    assert verdicts(stored("index", (3,), dtype="int64"))["index"] == ("buffer", "dtype")


def test_complex_numbers_and_numbers_that_are_not_there() -> None:
    assert verdicts(stored("conv.weight", (8, 4, 3, 3), dtype="complex64"))["conv.weight"] == ("complex", "dtype")
    absent = replace(stored("conv.weight", (8, 4, 3, 3)), location=None)
    assert verdicts(absent)["conv.weight"] == ("unreadable", "location")


@pytest.mark.parametrize("reason", ["optimizer_state", "raw_copy", "buffer", "constant", "outside_prefix"])
def test_what_is_not_the_model_is_not_counted_as_its_parameters(reason: str) -> None:
    tensors = [stored("conv.weight", (4, 1, 3, 3)), replace(stored("x", (1000,)), reason=reason)]
    assert classify_tensors(tensors).num_params == 36


def test_only_what_has_the_shape_of_kernels_counts_as_too_many_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "MAX_LAYERS", 2)
    classify_tensors([stored(f"{number}.weight", (4, 4)) for number in range(3)])
    with pytest.raises(UnsafeFileError, match="has 3 tensors of the shape of kernels, at most 2"):
        classify_tensors([stored(f"{number}.weight", (4, 4, 3, 3)) for number in range(3)])
