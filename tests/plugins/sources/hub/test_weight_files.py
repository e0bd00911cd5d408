"""Which files of a repo are checkpoints and which are copies, and which configs rule convolutions out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_plugins.sources.hub.model_config import architecture, has_no_convolutions, parse_config
from filtercrawl_plugins.sources.hub.weight_files import formats_without_reader, group_weight_files


def offered(*paths: str) -> list[str]:
    return [weights.main for weights in group_weight_files(paths) if weights.copy_of is None]


def left_out(*paths: str) -> dict[str, str]:
    return {weights.main: weights.copy_of for weights in group_weight_files(paths) if weights.copy_of is not None}


@pytest.mark.parametrize(
    ("preferred", "copies"),
    [
        ("model.safetensors", ["pytorch_model.bin"]),
        ("model.safetensors", ["model.onnx", "onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_quantized.onnx"]),
        ("model.safetensors", ["model.fp16.safetensors", "model.bf16.safetensors"]),
        ("pytorch_model.bin", ["model.fp16.safetensors"]),  # full precision before the format
        ("pytorch_model.bin", ["model.onnx"]),  # exporting folds normalisations in
        ("model.fp16.safetensors", ["model.onnx"]),
        ("onnx/model.onnx", ["onnx/model_int8.onnx", "onnx/model_q4f16.onnx", "onnx/model_bnb4.onnx"]),
        ("unet/diffusion_pytorch_model.safetensors", ["unet/diffusion_pytorch_model.non_ema.safetensors"]),
        ("sd-ema-pruned.ckpt", ["sd-pruned.ckpt", "sd-nonema-pruned.safetensors"]),
        ("v1-5-pruned-emaonly.safetensors", ["v1-5-pruned.safetensors", "v1-5-pruned-emaonly.ckpt"]),
        ("open_clip_model.safetensors", ["open_clip_pytorch_model.bin"]),
        ("nets/best.safetensors", ["nets/best.pth.tar", "nets/best.npz"]),
        ("model.safetensors", ["tf_model.h5", "flax_model.msgpack", "pytorch_model.bin", "model.tflite"]),
        ("pytorch_model.bin", ["tf_model.h5", "flax_model.msgpack"]),
        ("flax_model.msgpack", ["tf_model.h5"]),
        ("model.keras", ["model.h5", "model.weights.h5", "model.tflite", "model_full_integer_quant.tflite"]),
        ("unet/diffusion_pytorch_model.bin", ["unet/diffusion_flax_model.msgpack"]),
        ("model.safetensors.index.json", ["pytorch_model.bin.index.json", "model.safetensors.index.fp16.json"]),
    ],
)
def test_of_copies_one_is_offered(preferred: str, copies: list[str]) -> None:
    shards = [
        "model-00001-of-00001.safetensors", "model.fp16-00001-of-00001.safetensors", "pytorch_model-00001-of-00001.bin",
    ] if preferred.endswith(".json") else []  # fmt: skip
    found = left_out(preferred, *copies, *shards)
    assert offered(preferred, *copies, *shards) == [preferred]
    assert found.keys() == set(copies)
    assert all(preferred in reason for reason in found.values())


@pytest.mark.parametrize(
    "paths",
    [
        ("best.pt", "last.pt"),
        ("model.pt", "model.pth"),  # which is which cannot be told
        ("unet/model.safetensors", "vae/model.safetensors"),
        ("step-1000/model.safetensors", "step-2000/model.safetensors"),
        ("fp16.pt", "fp32.pt"),
        ("model.pt", "model-pruned.pt"),
        ("yolo-s.pt", "yolo-m.pt"),
        ("schema.pt", "scheme.pt"),  # words, not letters, make a variant
    ],
)
def test_different_networks_are_all_offered(paths: tuple[str, ...]) -> None:
    assert offered(*paths) == sorted(paths)


STEMS = st.sampled_from(
    ["model", "pytorch_model", "flax_model", "net", "model-00001-of-00002", "model.safetensors.index"]
)
WORDS = st.sampled_from(["", ".fp16", "_ema", ".non_ema", "_quantized", "-bf16"])
ENDS = st.sampled_from(
    [".safetensors", ".bin", ".onnx", ".pth", ".h5", ".msgpack", ".onnx_data", ".json", ".index.json", ".txt"]
)
PATHS = st.builds("{}{}{}{}".format, st.sampled_from(["", "a/", "onnx/"]), STEMS, WORDS, ENDS)


@given(st.sets(PATHS, max_size=12))
def test_whatever_a_repo_holds_each_file_has_one_place_and_each_copy_an_original(paths: set[str]) -> None:
    found = group_weight_files(paths)
    placed = [path for weights in found for path in weights.paths]
    assert len(placed) == len(set(placed))
    assert set(placed) <= paths
    extensions = (".safetensors", ".bin", ".onnx", ".pth", ".h5", ".msgpack")
    assert {path for path in paths if path.endswith(extensions)} <= set(placed)
    originals = {weights.main for weights in found if weights.copy_of is None}
    for weights in found:
        assert weights.copy_of is None or any(weights.copy_of.find(original) > 0 for original in originals)
    assert group_weight_files(sorted(paths)) == found


@pytest.mark.parametrize(
    "path",
    [
        "optimizer.pt", "checkpoint-5/optimizer.bin", "scheduler.pt", "training_args.bin", "rng_state.pth",
        "rng_state_0.pth", "random_states_0.pkl", "scaler.pt", "README.md", "net.gguf", "net.mlmodel", "net.pte",
        "coreml/net.mlpackage/Data/weights/weight.bin", "config.json", "model.safetensors.index.json",
    ],
)  # fmt: skip
def test_what_is_no_weights(path: str) -> None:
    assert offered(path, "net.pt") == ["net.pt"]


def test_openvino_keeps_raw_numbers_beside_an_xml() -> None:
    assert offered("net.xml", "net.bin", "other.bin") == ["other.bin"]


@pytest.mark.parametrize(
    ("index", "shard"),
    [
        ("model.safetensors.index.json", "model-0000{}-of-00002.safetensors"),
        ("a/pytorch_model.bin.index.json", "a/pytorch_model-0000{}-of-00002.bin"),
        ("model.fp16.safetensors.index.json", "model.fp16-0000{}-of-00002.safetensors"),
        ("model.safetensors.index.fp16.json", "model.fp16-0000{}-of-00002.safetensors"),
        ("flax_model.msgpack.index.json", "flax_model-0000{}-of-00002.msgpack"),
        ("step-5/.metadata", "step-5/__{}_0.distcp"),
    ],
)
def test_an_index_and_its_shards_are_one(index: str, shard: str) -> None:
    shards = tuple(shard.format(number) for number in (1, 2))
    (found,) = group_weight_files([*shards, index])
    assert found.paths == (index, *shards)


def test_a_named_file_is_a_checkpoint_whatever_it_is() -> None:
    paths = ["net.gguf", "net.safetensors"]
    (found,) = group_weight_files(paths, ["net.gguf"], named="net.gguf")
    assert (found.paths, found.copy_of) == (("net.gguf",), None)


def test_formats_without_a_reader_have_names() -> None:
    paths = [
        "net-q4.gguf", "a/net.xml", "a/net.bin", "net.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "net.safetensors", "config.json", "m.PTE",
    ]  # fmt: skip
    assert formats_without_reader(paths) == ["Core ML", "ExecuTorch", "GGUF", "OpenVINO"]


def test_shards_without_an_index_stand_for_themselves() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert offered(*shards) == shards


def test_an_onnx_graph_takes_its_numbers_along() -> None:
    (found,) = group_weight_files(["a/net.onnx", "a/net.onnx_data", "a/net.onnx_data_1", "b/net.onnx_data"])
    assert found.paths == ("a/net.onnx", "a/net.onnx_data", "a/net.onnx_data_1")


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "clip_text_model", "architectures": ["CLIPTextModelWithProjection"]},
        {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForSequenceClassification"]},
        {"model_type": "t5", "architectures": ["T5EncoderModel"]},
        {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]},
        {"model_type": "llama"},
    ],
)
def test_architectures_without_convolutions(config: dict[str, Any]) -> None:
    assert has_no_convolutions(config) == f"no convolutions: model type {config['model_type']}"


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"model_type": "resnet"},
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},  # its patches are a convolution
        {"model_type": "mamba"},
        {"model_type": "deberta-v2"},  # some have a ConvLayer
        {"model_type": "bert", "architectures": ["BertCNN"]},
        {"model_type": "bert", "auto_map": {"AutoModel": "modeling.Net"}},
        {"model_type": ["bert"]},
        {"model_type": "bert", "architectures": "BertModel"},
    ],
)
def test_what_is_not_known_to_have_none_is_offered(config: dict[str, Any] | None) -> None:
    assert has_no_convolutions(config) is None


def test_a_config_is_cut_down_to_the_architecture() -> None:
    labels = {str(number): "x" * 50 for number in range(1000)}
    config = parse_config(json.dumps({"architectures": ["ResNetModel"], "id2label": labels, "depths": [2, 2]}).encode())
    assert config == {"architectures": ["ResNetModel"], "depths": [2, 2], "num_labels": 1000}
    assert architecture(config) == "ResNetModel"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b'{"a": "\\u0007"}',
        json.dumps({"a": "x" * 20_000}).encode(), b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
)  # fmt: skip
def test_a_config_that_is_none(data: bytes) -> None:
    assert parse_config(data) is None or architecture(parse_config(data)) is None
