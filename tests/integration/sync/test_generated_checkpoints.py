"""What real collections of checkpoints lack: every dtype, operator, wrapper and copy, made here and synced."""

from __future__ import annotations

import json
import math
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from conftest import Sync
from filtercrawl.extraction.classify import ClassifiedTensors, classify_tensors
from filtercrawl_publish.verification import verify_folder
from support.onnx_models import model, node, random_array, tensor
from support.torch_files import read, saved
from support.zoo_files import layers, models, put, table

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def rows(dataset: Path) -> dict[str, dict[str, Any]]:
    return {row["tensor"]: row for row in table(dataset, "index")}


def reasons(extracted: ClassifiedTensors) -> dict[str, str | None]:
    return {entry.tensor: entry.reason for entry in extracted.ledger}


def emitted(value: object) -> list[str]:
    """Save a value as torch does, read it back, and name the tensors that are kernels."""
    return [layer.tensor.name for layer in classify_tensors(read(saved(value)).values(), "all").layers]


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


# Numbers.


def every_value(dtype: torch.dtype) -> torch.Tensor:
    """Each number that a type of one or two bytes has: zeros of both signs, subnormals, infinities, NaN."""
    size = torch.empty(0, dtype=dtype).element_size()
    codes = np.arange(1 << (8 * size), dtype=np.dtype(f"<u{size}"))
    return torch.from_numpy(codes.view(np.uint8)).view(dtype)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("file", ["net.safetensors", "net.pt"])
def test_small_floats_are_widened_exactly(name: str, file: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    dtype = getattr(torch, name)
    weight = every_value(dtype).view(-1, 1, 4, 4)
    if file.endswith("pt"):
        torch.save({"conv.weight": weight}, zoo / file)
    else:
        save_file({"conv.weight": weight}, zoo / file)
    run_sync()
    (row,), (stored,) = rows(dataset).values(), layers(dataset).values()
    expected = weight.float().numpy()
    assert row["stored_dtype"] == name
    assert row["n_nonfinite"] == np.count_nonzero(~np.isfinite(expected))
    assert np.array_equal(np.isnan(stored), np.isnan(expected))
    numbers = ~np.isnan(expected)
    assert same_bits(stored[numbers], expected[numbers])  # also the sign of zero
    assert list(verify_folder(dataset)) == []


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_small_floats_of_onnx(name: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight = every_value(getattr(torch, name)).view(-1, 1, 4, 4)
    kind = getattr(onnx.TensorProto, name.upper())
    raw = weight.view(torch.uint8).numpy().tobytes()
    held = onnx.helper.make_tensor("w", kind, weight.shape, raw, raw=True)
    (zoo / "net.onnx").write_bytes(model([node("Conv", ["x", "w"], "y", group=1)], [held]).SerializeToString())
    run_sync()
    (stored,) = layers(dataset).values()
    expected = weight.float().numpy()
    numbers = ~np.isnan(expected)
    assert same_bits(stored[numbers], expected[numbers])
    assert np.array_equal(np.isnan(stored), ~numbers)


# numpy remarks on signalling NaN when a picture is drawn of them.
def test_float32_keeps_every_bit_and_float64_is_rounded(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    strange = np.array([0, 1, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC12345, 0x7F812345, 0x807FFFFF, 0x3F800000], "<u4")
    single = strange.view("<f4").reshape(1, 1, 3, 3)
    double = np.array([1e-300, 1e300, -0.0, 0.1, np.pi, 1 + 2**-30, np.inf, -np.inf, 5e-324]).reshape(1, 1, 3, 3)
    put(zoo / "net.safetensors", {"a.weight": torch.from_numpy(single), "b.weight": torch.from_numpy(double)})
    run_sync()
    (path,) = (dataset / "data/layers").rglob("*.parquet")
    stored = pq.read_table(path, columns=["tensor", "weight"]).combine_chunks()
    numbers = stored["weight"].chunk(0).values.to_numpy().reshape(2, 1, 1, 3, 3)
    found = dict(zip(stored["tensor"].to_pylist(), numbers, strict=True))
    assert same_bits(found["a.weight"], single)
    with np.errstate(over="ignore"):
        assert same_bits(found["b.weight"], double.astype(np.float32))
    by_name = rows(dataset)
    assert (by_name["a.weight"]["n_nonfinite"], by_name["b.weight"]["n_nonfinite"]) == (4, 3)
    assert list(verify_folder(dataset)) == []


def test_codes_of_eight_bits(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """uint8 with a zero point, int8 with a scale and a zero point for each channel, and codes without a scale."""
    codes = random_array(4, 3, 3, 3, seed=1).astype(np.int8)
    unsigned = codes.view(np.uint8)
    scale, zero = np.array([0.5, 0.1, 3.0, 1e-3], "f4"), np.array([0, 1, -7, 127], "i1")
    net = model(
        [
            node("DequantizeLinear", ["u", "us", "uz"], "uw"),
            node("Conv", ["x", "uw"], "a"),
            node("DequantizeLinear", ["c", "cs", "cz"], "cw", axis=0),
            node("Conv", ["x", "cw"], "y"),
        ],
        [
            *(tensor("u", unsigned), tensor("us", np.array(0.1, "f4")), tensor("uz", np.array(128, "u1"))),
            *(tensor("c", codes), tensor("cs", scale), tensor("cz", zero)),
        ],
    )
    (zoo / "net.onnx").write_bytes(net.SerializeToString())
    put(zoo / "codes.safetensors", {"conv.weight": torch.from_numpy(codes)})
    run_sync()
    found = layers(dataset)
    assert same_bits(found["local/net.onnx#u"], (unsigned.astype(np.int32) - 128).astype("f4") * np.float32(0.1))
    along = (4, 1, 1, 1)
    expected = (codes.astype(np.int32) - zero.astype(np.int32).reshape(along)).astype("f4") * scale.reshape(along)
    assert same_bits(found["local/net.onnx#c"], expected)
    ledger = {row["tensor"]: row["reason"] for row in table(dataset, "ledger")}
    assert ledger["conv.weight"] == "quantized_codes"
    assert models(dataset)["local/codes.safetensors"]["outcome"] == "no_kernels"


def test_the_same_bytes_in_two_sizes_are_two_layers(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    zeros = {
        "a.weight": torch.zeros(25, 1, 3, 3),
        "b.weight": torch.zeros(9, 1, 5, 5),
        "c.weight": torch.zeros(25, 9, 1),
    }
    put(zoo / "net.safetensors", zeros)
    put(zoo / "other.safetensors", {"d.weight": torch.zeros(1, 9, 5, 5)})
    run_sync(kernel_size="all")
    assert {key.partition("#")[2]: weight.shape for key, weight in layers(dataset).items()} == {
        **{name: tuple(weight.shape) for name, weight in zeros.items()},
        "d.weight": (1, 9, 5, 5),
    }
    assert list(verify_folder(dataset)) == []


def test_empty_tensors_hold_no_kernels(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    head = {"head.weight": torch.ones(2, 2)}
    put(zoo / "net.safetensors", {"a.weight": torch.zeros(0, 3, 3, 3), "b.weight": torch.zeros(4, 0, 3, 3)} | head)
    torch.save({"c.weight": torch.zeros(4, 3, 0, 3)} | head, zoo / "net.pt")
    run_sync()
    assert {row["reason"] for row in table(dataset, "ledger")} == {"empty", "linear"}
    assert {row["outcome"] for row in models(dataset).values()} == {"no_kernels"}


# Operators.


def spread(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Turn emitted kernels [out, in/groups, *k] into the weight that torch's transposed convolution takes."""
    return torch.cat([part.transpose(0, 1) for part in weight.chunk(groups)])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("form", ["module", "onnx"])
def test_grouped_transposed_convolutions(form: str, rank: int, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """Emitted kernels, used as the definition says, give what the network's own operator gives."""
    groups, out, size = 3, 6, (3, 2, 2)[:rank]
    made = getattr(nn, f"ConvTranspose{rank}d")(9, out, size, stride=2, groups=groups, bias=False)
    if form == "module":
        torch.save(nn.Sequential(made), zoo / "net.pt")
    else:
        held = tensor("w", made.weight.detach().numpy())
        graph = model([node("ConvTranspose", ["x", "w"], "y", group=groups, strides=[2] * rank)], [held])
        (zoo / "net.onnx").write_bytes(graph.SerializeToString())
    run_sync()
    (row,), (stored,) = rows(dataset).values(), layers(dataset).values()
    assert (row["op"], row["groups"], row["in_channels"]) == (f"conv_transpose{rank}d", groups, 9)
    assert (row["operator_verified"], row["depthwise"]) == (True, False)
    assert stored.shape == (out, 9 // groups, *size)
    x = torch.randn(2, 9, *(5, 4, 3)[:rank])
    expected = made(x)
    # Each output number is a sum over inputs and taps of the kernel of its channel pair: no operator of torch.
    actual = torch.zeros_like(expected)
    for o in range(out):
        group = o // (out // groups)
        for i in range(9 // groups):
            for at in np.ndindex(*size):
                places = tuple(slice(k, k + 2 * n - 1, 2) for k, n in zip(at, x.shape[2:], strict=True))
                actual[(slice(None), o, *places)] += x[:, group * 3 + i] * float(stored[(o, i, *at)])
    torch.testing.assert_close(actual, expected)
    again = getattr(functional, f"conv_transpose{rank}d")(
        x, spread(torch.from_numpy(stored), groups), None, 2, 0, 0, groups
    )
    assert torch.equal(again, expected)


def test_three_dimensional_and_large_kernels(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    state = {"video.weight": torch.randn(4, 3, 3, 5, 5), "large.weight": torch.randn(6, 1, 31, 31)}
    put(zoo / "net.safetensors", state)
    run_sync()
    found = {key.partition("#")[2]: weight for key, weight in layers(dataset).items()}
    assert all(np.array_equal(found[name], weight.numpy()) for name, weight in state.items())
    by_name = rows(dataset)
    assert [(by_name[name]["op"], by_name[name]["kernel"], by_name[name]["taps"]) for name in state] == [
        ("conv3d", "3x5x5", 75),
        ("conv2d", "31x31", 961),
    ]


@pytest.mark.exhaustive
def test_a_layer_of_600_megabytes(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    """4096 x 4096 kernels of 3x3 in a file of holes, with numbers here and there."""
    shape, marks = (4096, 4096, 3, 3), {0: 1.0, 4_194_303: -2.5, 4_194_304: 7.0, 4096 * 4096 * 9 - 1: 0.125}
    header = json.dumps({"w.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * math.prod(shape)]}})
    with (zoo / "net.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode())
        start = file.tell()
        file.truncate(start + 4 * math.prod(shape))
        for at, value in marks.items():
            file.seek(start + 4 * at)
            file.write(struct.pack("<f", value))
    assert run_sync().failures == {}
    (path,) = (dataset / "data/layers").rglob("*.parquet")
    total = 0
    found: dict[int, float] = {}
    with pq.ParquetFile(path) as stored:
        for batch in stored.iter_batches(batch_size=1, columns=["out_start", "n_kernels", "weight"]):
            (row,) = batch.drop_columns("weight").to_pylist()
            numbers = batch["weight"].values.to_numpy()
            assert len(numbers) == row["n_kernels"] * 9 <= 4_194_304
            (places,) = np.nonzero(numbers)
            found |= {row["out_start"] * 4096 * 9 + int(at): float(numbers[at]) for at in places}
            total += len(numbers)
    assert (total, found) == (math.prod(shape), marks)
    (zoo / "net.safetensors").unlink()


# Copies, optimizers, wrappers.


def network(scale: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Sequential(nn.Conv2d(8, 4, 5), nn.Conv2d(4, 2, 1)))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale)
    return net


RAW, AVERAGE = network(), network(0.9)
STATE, MEAN = RAW.state_dict(), AVERAGE.state_dict()
KERNELS = ["0.weight", "2.0.weight", "2.1.weight"]
# As the exponential average of latent diffusion names its tensors: the dots of a name are gone.
DOTLESS = {f"model_ema.{name.replace('.', '')}": value for name, value in AVERAGE.named_parameters()}
COPIES: dict[str, tuple[object, str]] = {
    "containers": ({"params": STATE, "params_ema": MEAN}, "params_ema."),
    "a container beside the optimizer": (
        {"state_dict": STATE, "state_dict_ema": MEAN, "optimizer": torch.optim.Adam(RAW.parameters()).state_dict()},
        "state_dict_ema.",
    ),
    "dotless names": (
        {"state_dict": {**{f"model.{k}": v for k, v in STATE.items()}, **DOTLESS, "model_ema.decay": torch.ones(())}},
        "state_dict.model_ema.",
    ),
    "a wrapper of the averages": (
        {"model": STATE, "ema": {**{f"ema_model.{k}": v for k, v in MEAN.items()}, "initted": torch.ones(())}},
        "ema.ema_model.",
    ),
    "averages one container down": ({"model": STATE, "ema": {"shadow": dict(AVERAGE.named_parameters())}},
        "ema.shadow."),
    "an averaged model": ({"model": STATE, "averaged": torch.optim.swa_utils.AveragedModel(AVERAGE).state_dict()},
        "averaged.module."),
    "wrapped averages": ({"model": STATE, "ema_state_dict": {f"module.{k}": v for k, v in MEAN.items()}},
        "ema_state_dict.module."),
    "modules": ({"model": RAW, "ema": AVERAGE, "updates": 3}, "ema._modules."),
}  # fmt: skip


@pytest.mark.parametrize("case", COPIES)
def test_of_raw_and_average_the_average_is_emitted(case: str) -> None:
    value, prefix = COPIES[case]
    extracted = classify_tensors(read(saved(value)).values(), "all")
    names = [layer.tensor.name.replace("_modules.", "").replace("_parameters.", "") for layer in extracted.layers]
    bare = prefix.replace("_modules.", "")
    dotless = [name.replace(".", "") for name in KERNELS]
    assert names in ([bare + name for name in KERNELS], [bare + name for name in dotless])
    assert [layer.path.removeprefix("model.") for layer in extracted.layers] == ["0", "2.0", "2.1"]
    copied = {name for name, reason in reasons(extracted).items() if reason == "raw_copy"}
    assert len(copied) >= len(list(RAW.parameters()))
    assert not any(name.startswith(prefix) for name in copied)


def test_only_the_network_that_was_averaged_is_a_copy() -> None:
    gan = {"G": STATE, "D": network(2.0).state_dict(), "G_ema": MEAN}
    assert emitted(gan) == [f"{part}.{name}" for part in ("D", "G_ema") for name in KERNELS]
    assert emitted({"model": None, "ema": STATE}) == [f"ema.{name}" for name in KERNELS]
    assert emitted({"ema": STATE, "swa": MEAN}) == [f"{part}.{name}" for part in ("ema", "swa") for name in KERNELS]


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "Adam": lambda p: torch.optim.Adam(p, amsgrad=True),
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "SGD": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "RMSprop": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Rprop": torch.optim.Rprop,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_of_optimizers_are_no_kernels(name: str) -> None:
    net = network()
    optimizer = OPTIMIZERS[name](net.parameters())
    net(torch.randn(2, 3, 9, 9)).sum().backward()
    optimizer.step()
    for key in ("optimizer", "optimizer_states", "optim_g", "optimizerD", "g_optim"):
        held = [optimizer.state_dict()] if key == "optimizer_states" else optimizer.state_dict()
        found = reasons(
            classify_tensors(read(saved({"epoch": 3, key: held, "state_dict": net.state_dict()})).values(), "all")
        )
        moments = {tensor: reason for tensor, reason in found.items() if tensor.startswith(key)}
        assert len(moments) >= len(list(net.parameters()))
        assert set(moments.values()) == {"optimizer_state"}
        assert [tensor for tensor, reason in found.items() if reason is None] == [f"state_dict.{k}" for k in KERNELS]


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_are_no_part_of_a_layers_path(wrapper: str) -> None:
    lightning = {
        "epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.5", "callbacks": {}, "loops": {"fit": {}},
        "state_dict": {wrapper + name: value for name, value in STATE.items()}, "lr_schedulers": [{"last_epoch": 1}],
    }  # fmt: skip
    found = classify_tensors(read(saved(lightning)).values(), "all").layers
    assert [layer.path for layer in found] == ["0", "2.0", "2.1"]


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weight_norm_keeps_the_direction(norm: Callable[..., nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the old form is in checkpoints for ever
        net = nn.Sequential(norm(nn.Conv2d(3, 4, 3)), norm(nn.ConvTranspose1d(4, 2, 5)), norm(nn.Linear(4, 4)))
    (conv, transposed) = classify_tensors(read(saved(net.state_dict())).values(), "all").layers
    assert (conv.path, conv.shape, conv.weight_kind) == ("0", (4, 3, 3, 3), "standardized")
    assert (transposed.path, transposed.weight_kind) == ("1", "standardized")


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_spectral_norm_keeps_the_raw_weight(norm: Callable[..., nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.Sequential(norm(nn.Conv2d(3, 4, 3)), norm(nn.Linear(4, 4)))
    (layer,) = classify_tensors(read(saved(net.state_dict())).values(), "all").layers
    assert (layer.path, layer.shape) == ("0", (4, 3, 3, 3))


def test_weights_of_several_axes_that_are_of_no_convolution() -> None:
    found = reasons(
        classify_tensors(
            read(
                saved({
                    "pos_embed": torch.ones(1, 16, 8), "layer.relative_position_bias": torch.ones(1, 4, 9, 9),
                    "pos_embed.weight": torch.ones(1, 32, 4, 4), "encoder.pixel_pos": torch.ones(1, 8, 4, 4),
                    "norm.weight": torch.ones(8, 4, 4), "norm.bias": torch.ones(8, 4, 4),
                    "bilinear.weight": torch.ones(4, 8, 8), "experts.weight": torch.ones(4, 256, 256),
                    "modulated.weight": torch.ones(1, 16, 32, 3, 3), "cls_token": torch.ones(1, 1, 8),
                    "gru.weight_ih_l0": torch.ones(12, 4), "layer.scale": torch.ones(1, 8, 1, 1),
                    "pos_embed.proj.weight": torch.ones(8, 1, 3, 3), "rel_pos.conv.weight": torch.ones(1, 1, 3, 3),
                    "conv_norm.weight": torch.ones(8, 4, 3, 3), "occupancy.weight": torch.ones(1, 16, 3, 3, 3),
                    "pos_conv_embed.conv.weight_v": torch.ones(8, 4, 128),
                })
            ).values(),
            "all",
        )
    )  # fmt: skip
    assert {name: reason for name, reason in found.items() if reason is not None} == {
        "pos_embed": "attention_position", "layer.relative_position_bias": "attention_position",
        "pos_embed.weight": "attention_position", "encoder.pixel_pos": "attention_position",
        "norm.weight": "norm", "norm.bias": "norm", "bilinear.weight": "nonstandard_operator",
        "experts.weight": "nonstandard_operator", "modulated.weight": "nonstandard_operator", "cls_token": "other",
        "gru.weight_ih_l0": "recurrent", "layer.scale": "scale",
    }  # fmt: skip


# Real architectures with random weights.

TORCHVISION = (
    "resnet18",
    "mobilenet_v3_small",
    "convnext_tiny",
    "swin_t",
    "r3d_18",
    "densenet121",
    "shufflenet_v2_x0_5",
)
TIMM = (
    "efficientnet_b0", "repvgg_a0", "mobilevit_s", "coat_tiny", "cait_xxs24_224", "csatv2", "xcit_nano_12_p8_224",
    "fastvit_t8", "levit_128s", "resnetv2_50x1_bit", "nf_regnet_b1", "tnt_s_legacy_patch16_224", "ghostnet_050",
)  # fmt: skip


def convolutions(net: nn.Module) -> dict[str, nn.Module]:
    return {name: part for name, part in net.named_modules(remove_duplicate=False) if isinstance(part, CONVOLUTIONS)}


@pytest.mark.parametrize("name", TORCHVISION + TIMM)
def test_exactly_the_convolutions_of_an_architecture(name: str) -> None:
    if name in TORCHVISION:
        net = torchvision.models.get_model(name, weights=None)
    else:
        net = timm.create_model(name, pretrained=False)
    found = classify_tensors(read(saved(net.state_dict())).values(), "all")
    assert {layer.path for layer in found.layers} == convolutions(net).keys()
    assert {layer.tensor.name for layer in found.layers} == {f"{path}.weight" for path in convolutions(net)}
    assert len(found.ledger) == len(net.state_dict())


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy", "module"])
def test_a_network_comes_out_as_it_is(form: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v3_small(weights=None)
    if form == "safetensors":
        put(zoo / "net.safetensors", net.state_dict())
    else:
        value = net if form == "module" else net.state_dict()
        (zoo / "net.pth").write_bytes(saved(value, zipped=form != "legacy"))
    run_sync(kernel_size="all")
    index = {row["layer"]: row for row in table(dataset, "index")}
    made = convolutions(net)
    assert index.keys() == made.keys()
    stored = layers(dataset)
    for path, part in made.items():
        assert isinstance(part, nn.Conv2d)
        row = index[path]
        assert same_bits(stored[row["layer_id"]], part.weight.detach().numpy())
        assert row["shape"] == list(part.weight.shape)
        if form == "module":
            told = (row["groups"], *(tuple(row[name]) for name in ("stride", "padding", "dilation")))
            assert told == (part.groups, part.stride, part.padding, part.dilation)
            assert (row["depthwise"], row["operator_verified"]) == (part.groups > 1, True)
        else:
            assert (row["groups"], row["operator_verified"]) == (None, False)
