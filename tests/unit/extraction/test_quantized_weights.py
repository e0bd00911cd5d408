"""Codes and scales of state dicts become the weight that the library computes, or `quantized_codes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl.extraction.expert_banks import expand_banks
from filtercrawl.extraction.quantized_weights import resolve_quantized
from filtercrawl.extraction.to_float32 import to_float32

CPU = torch.device("cpu")
FP8 = torch.float8_e4m3fn


def state_dict(tensors: Mapping[str, Tensor], root: tuple[str, ...] = ()) -> list[StoredTensor]:
    found = []
    for name, tensor in tensors.items():
        data = tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.numpy().tobytes()
        dtype, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
        location = TensorLocation(file=MemoryFile(data), offset=0, dtype=dtype, shape=shape)
        full = ".".join((*root, name))
        found.append(StoredTensor(name=full, key=name, root=root, shape=shape, dtype=dtype, location=location))
    return found


def classified(tensors: Mapping[str, Tensor]) -> ClassifiedTensors:
    return classify_tensors(resolve_quantized(state_dict(tensors)), "all")


def weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {layer.tensor.name: to_float32(layer, 0, layer.out_channels, CPU) for layer in classified(tensors).layers}


def reasons(tensors: Mapping[str, Tensor]) -> dict[str, str | None]:
    return {entry.tensor: entry.reason for entry in classified(tensors).ledger}


def codes(*shape: int, dtype: torch.dtype = torch.int8) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(0 if dtype == torch.uint8 else -128, 128, shape, generator=generator).to(dtype)


def scales(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))) + 0.01


Q, F = codes(8, 4, 3, 3), codes(8, 4, 3, 3, dtype=FP8)
EACH = scales(8)


def packed(numbers: Tensor, bits: int) -> Tensor:
    """Pack codes along their first axis as `optimum.quanto` does: the first part in the lowest bits."""
    rows = -(-len(numbers) * bits // 8)
    result = torch.zeros((rows, *numbers.shape[1:]), dtype=torch.uint8)
    for part, start in enumerate(range(0, len(numbers), rows)):
        result[: len(numbers) - start] |= numbers[start : start + rows] << (bits * part)
    return result


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("out", [1, 3, 7, 8])
def test_packed_codes_of_quanto_are_shifted_after_scaling(bits: int, out: int) -> None:
    numbers = codes(out, 5, 3, 3, dtype=torch.uint8) % 2**bits
    scale, shift = scales(out, 1, 1, 1), scales(out, 1, 1, 1) / 3
    found = {"c.weight._data._data": packed(numbers, bits), "c.weight._scale": scale, "c.weight._shift": shift}
    if out == 1:  # one row of bytes, whatever the number of bits
        assert reasons(found)["c.weight._data._data"] == "quantized_codes"
        return
    assert torch.equal(weights(found)["c.weight._data._data"], scale * numbers - shift)
    assert [layer.path for layer in classified(found).layers] == ["c"]
    assert reasons(found) == {
        "c.weight._data._data": None, "c.weight._scale": "quantization", "c.weight._shift": "quantization"
    }  # fmt: skip


@pytest.mark.parametrize("bits", [4, 2])
def test_packed_codes_are_judged_by_the_shape_of_the_weight(bits: int) -> None:
    numbers, scale = codes(16, 3, 3, 3, dtype=torch.uint8) % 2**bits, scales(16, 1, 1, 1)
    found = {
        "c.weight._data._data": packed(numbers, bits), "c.weight._scale": scale,
        "c.weight._shift": scale / 3, "c.bias": torch.zeros(16),
    }  # fmt: skip
    assert torch.equal(weights(found)["c.weight._data._data"], scale * numbers - scale / 3)
    assert [entry.rule for entry in classified(found).ledger if entry.reason is None] == ["bias_per_channel"]


def test_scales_of_groups_do_not_state_the_shape_of_the_weight() -> None:
    """`optimum.quanto` saves the codes of a [32, 64, 3, 3] weight in groups of 96 as [192, 96]."""
    numbers = codes(192, 96, dtype=torch.uint8) % 16
    found = {
        "c.weight._data._data": packed(numbers, 4), "c.weight._scale": scales(192, 1),
        "c.weight._shift": scales(192, 1), "c.bias": torch.zeros(32),
    }  # fmt: skip
    assert not weights(found)
    assert reasons(found)["c.weight._data._data"] == "quantized_codes"


def test_a_whole_shift_of_quanto_is_subtracted_before_scaling() -> None:
    numbers, scale = codes(8, 5, 3, 3, dtype=torch.uint8) % 16, scales(8, 1, 1, 1)
    shift = (codes(8, 1, 1, 1) % 16).to(torch.int8)
    found = {"c.weight._data._data": packed(numbers, 4), "c.weight._scale": scale, "c.weight._shift": shift}
    assert torch.equal(weights(found)["c.weight._data._data"], (numbers.to(torch.int8) - shift) * scale)


@pytest.mark.parametrize("name", ["weight_scale", "scale_weight", "weight_scale_inv", "scale"])
@pytest.mark.parametrize("stored", [Q, F, codes(8, 4, 3, 3, dtype=torch.float8_e5m2)], ids=lambda t: str(t.dtype))
@pytest.mark.parametrize("shape", [(), (1,), (8,), (8, 1), (8, 1, 1, 1), (1, 4, 1, 1), (1, 1)])
def test_a_scale_beside_the_codes_is_applied(name: str, stored: Tensor, shape: tuple[int, ...]) -> None:
    scale = scales(*shape)
    found = {"conv.weight": stored, f"conv.{name}": scale, "conv.bias": torch.zeros(8)}
    aligned = scale.reshape(-1, 1, 1, 1) if scale.numel() == 8 else scale
    assert torch.equal(weights(found)["conv.weight"], stored.float() * aligned)
    assert reasons(found) == {"conv.weight": None, f"conv.{name}": "quantization", "conv.bias": "bias"}
    assert classified(found).layers[0].tensor.notes == (name,)


def test_a_scale_of_half_precision_is_widened() -> None:
    scale = scales(8, 1, 1, 1).to(torch.bfloat16)
    assert torch.equal(weights({"c.weight": Q, "c.weight_scale": scale})["c.weight"], Q.float() * scale.float())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_a_zero_point_is_subtracted_before(dtype: torch.dtype) -> None:
    stored, zero = codes(8, 4, 3, 3, dtype=dtype), codes(8, dtype=dtype)
    found = {"c.weight": stored, "c.weight_scale": EACH, "c.weight_zero_point": zero}
    whole = (stored.float() - zero.float().view(8, 1, 1, 1)) * EACH.view(8, 1, 1, 1)
    assert torch.equal(weights(found)["c.weight"], whole)
    assert reasons(found)["c.weight_zero_point"] == "quantization"


def test_scales_of_blocks_are_repeated() -> None:
    stored, scale = codes(200, 130, 3, 3, dtype=FP8), scales(2, 2)
    expected = stored.float() * scale.repeat_interleave(128, 0)[:200].repeat_interleave(128, 1)[:, :130, None, None]
    for shape in ((2, 2), (2, 2, 1, 1)):
        found = {"c.weight": stored, "c.weight_scale_inv": scale.reshape(shape)}
        assert torch.equal(weights(found)["c.weight"], expected)


def test_rows_of_bitsandbytes_are_dequantized_as_it_does() -> None:
    largest = scales(8)
    expected = Q * largest.view(-1, 1, 1, 1) * 7.874015718698502e-3
    assert torch.equal(weights({"c.weight": Q, "c.SCB": largest})["c.weight"], expected)


@pytest.mark.parametrize("stored", [Q, F], ids=["int8", "float8"])
def test_codes_and_scale_of_quanto_are_the_parts_of_a_weight(stored: Tensor) -> None:
    found = {
        "down.0.conv.weight._data": stored,
        "down.0.conv.weight._scale": scales(8, 1, 1, 1),
        "down.0.conv.bias": torch.zeros(8),
        "down.0.conv.input_scale": torch.ones(()),
        "down.0.conv.output_scale": torch.ones(()),
    }
    layer = classified(found).layers[0]
    assert (layer.path, layer.tensor.name) == ("down.0.conv", "down.0.conv.weight._data")
    weight = stored.float() * found["down.0.conv.weight._scale"]
    assert torch.equal(weights(found)["down.0.conv.weight._data"], weight)
    rest = [reason for name, reason in reasons(found).items() if name.endswith("scale")]
    assert rest == ["quantization"] * 3


@pytest.mark.parametrize(
    "found",
    [
        {"c.weight": Q},
        {"c.weight": Q, "c.weight_scale": scales(5)},
        {"c.weight": F, "c.weight_scale": scales(5)},
        {"c.weight": Q, "c.weight_scale": scales(8, 1, 1, 1), "c.weight_scale_2": scales(1)},
        {"c.weight": codes(8, 4, 3, 3, dtype=torch.uint8), "c.weight_scale": EACH},
        {"c.weight": Q, "c.scale": scales(1), "c.zero_point": torch.zeros(1, dtype=torch.int64)},
        {"c.weight._data": Q, "c.weight._scale": scales(8, 1, 1, 1), "c.weight._shift": scales(8, 1, 1, 1)},
        {"c.weight._data": Q},
        {"c.weight._data._data": codes(4, 36, dtype=torch.uint8), "c.weight._scale": EACH, "c.weight._shift": EACH},
        {"c.weight_packed": codes(8, 9, dtype=torch.int32), "c.weight_scale": EACH},
    ],
    ids=" ".join,
)
def test_codes_whose_scale_cannot_be_applied_are_no_weights(found: dict[str, Tensor]) -> None:
    assert weights(found) == {}
    assert "quantized_codes" in reasons(found).values()


@pytest.mark.parametrize("stored", [Q, F], ids=["int8", "float8"])
@pytest.mark.parametrize(
    "name",
    [
        *("weight_scale_reciprocal", "weight.scale", "w_scale", "weight_dequant_scale", "kernel_scale", "scale_w"),
        *("weight_scales", "weight_scaling", "weight_amax", "inv_scale", "weight_quantizer._scale", "scales"),
    ],
)
def test_codes_beside_a_scale_of_an_unknown_name_are_no_weights(stored: Tensor, name: str) -> None:
    found = {"c.weight": stored, f"c.{name}": scales(1), "c.bias": torch.zeros(8)}
    assert weights(found) == {}
    assert reasons(found)["c.weight"] == "quantized_codes"


@pytest.mark.parametrize("stored", [Q, F], ids=["int8", "float8"])
def test_codes_whose_scale_is_in_a_container_of_scales_are_no_weights(stored: Tensor) -> None:
    parts = [*state_dict({"c.weight": stored}, ("weights",)), *state_dict({"c.weight": EACH}, ("scales",))]
    ledger = classify_tensors(resolve_quantized(parts), "all").ledger
    assert ledger[0].reason == "quantized_codes"


@pytest.mark.parametrize(
    "name", ["c.input_scale", "c.scale_input", "c.x_scale", "d.w_scale", "d.weight.scale", "logit_scale"]
)
def test_a_scale_of_something_else_does_not_make_codes_of_8_bit_floats(name: str) -> None:
    assert torch.equal(weights({"c.weight": F, name: scales(1)})["c.weight"], F.float())


def test_an_equal_path_in_a_container_of_another_network_is_no_scale() -> None:
    parts = [*state_dict({"c.weight": F}, ("model",)), *state_dict({"c.weight": F.float()}, ("multi_scale",))]
    assert [entry.reason for entry in classify_tensors(resolve_quantized(parts), "all").ledger] == [None, None]


@pytest.mark.parametrize(
    ("stored", "states"),
    [
        ("weight_q", {"w_scale": EACH}),
        ("weight_int8", {"weight_absmax": EACH}),
        ("kernel_int8", {"kernel_scale": EACH}),
        ("weight_idx", {"codebook": scales(16)}),
        ("weight", {"scales": scales(8, 1, 1, 1), "zeros": scales(8, 1, 1, 1)}),
    ],
)
def test_codes_of_other_names_are_codes_where_a_scale_or_codebook_is_beside(
    stored: str, states: dict[str, Tensor]
) -> None:
    found = {f"c.{stored}": Q, "c.bias": torch.zeros(8), **{f"c.{name}": state for name, state in states.items()}}
    expected = {f"c.{stored}": "quantized_codes", "c.bias": "bias"}
    assert reasons(found) == expected | dict.fromkeys((f"c.{name}" for name in states), "quantization")


def test_integers_of_other_names_are_no_codes() -> None:
    found = {"c.weight": torch.randn(8, 4, 3, 3), "c.weight_mask": codes(8, 4, 3, 3), "c.w_scale": scales(1)}
    found |= {"c.W": codes(), "c.w": codes(4)}
    assert "quantized_codes" not in reasons(found).values()


NF4 = ("absmax", "nested_absmax", "nested_quant_map", "quant_map", "quant_state.bitsandbytes__nf4")


@pytest.mark.parametrize(
    ("stored", "states"),
    [
        ("weight", {f"weight.{name}": scales(16) for name in NF4}),
        ("weight", {"weight_scale": codes(64, 4, dtype=FP8), "weight_scale_2": scales(1), "input_scale": scales(1)}),
        ("qweight", {"qzeros": codes(1, 8).int(), "scales": scales(1, 64).half(), "g_idx": torch.arange(64).int()}),
        ("W_q", {"scale": scales(64, 1), "zeros": scales(64, 1)}),
    ],
    ids=["bitsandbytes", "nvfp4", "gptq", "hqq"],
)
def test_packed_matrices_are_codes_and_their_states_are_named(stored: str, states: dict[str, Tensor]) -> None:
    found = {f"q.{stored}": codes(64, 32, dtype=torch.uint8), **{f"q.{name}": state for name, state in states.items()}}
    expected = dict.fromkeys((f"q.{name}" for name in states), "quantization")
    assert reasons(found) == {f"q.{stored}": "quantized_codes"} | expected


def test_float8_weights_without_a_scale_are_weights() -> None:
    assert torch.equal(weights({"c.weight": F, "c.bias": torch.zeros(8).to(FP8)})["c.weight"], F.float())


def test_a_learned_scale_beside_a_plain_weight_is_none_of_codes() -> None:
    weight = torch.randn(8, 4, 3, 3)
    found = {"c.weight": weight, "c.scale": scales(8), "c.input_scale": torch.ones(())}
    assert torch.equal(weights(found)["c.weight"], weight)
    assert "quantization" not in reasons(found).values()


def test_the_scale_of_another_module_or_container_is_not_taken() -> None:
    first = state_dict({"c.weight": Q}, ("model",))
    second = state_dict({"c.weight_scale": EACH}, ("other",))
    ledger = classify_tensors(resolve_quantized([*first, *second]), "all").ledger
    assert ledger[0].reason == "quantized_codes"


def test_quantized_matrices_stay_matrices_and_their_scales_are_named() -> None:
    found = {"fc.weight": codes(8, 4), "fc.weight_scale": EACH, "fc.bias": torch.zeros(8)}
    assert reasons(found) == {"fc.weight": "linear", "fc.weight_scale": "quantization", "fc.bias": "bias"}


def test_the_scale_of_a_bank_of_kernels_is_split_with_it() -> None:
    bank = resolve_quantized(
        state_dict({"c.weight": codes(3, 4 * 2 * 3 * 3).view(3, 4, 2, 3, 3), "c.scale": scales(3)})
    )
    assert bank[0].weight is not None
    whole = bank[0].weight.read_float32(tuple((0, n) for n in bank[0].shape))
    experts = list(expand_banks(replace(bank[0], bank=(4, 2, 3, 3))))
    for index, expert in enumerate(experts):
        assert expert.weight is not None
        box = ((1, 4), (0, 2), (0, 3), (1, 2))
        np.testing.assert_array_equal(expert.weight.read_float32(box), whole[index, 1:4, :, :, 1:2])
        assert expert.weight_spans()
