"""Networks are built from the config.json of their repo: without weights, without the network, without its code."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
import timm
import torch

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile
from filtercrawl.api.errors import UnsupportedError
from filtercrawl.extraction.architecture import trace
from filtercrawl_plugins.metadata.families import timm_family
from filtercrawl_plugins.sources.hub.build import check_config_limits
from filtercrawl_plugins.sources.hub.model_config import reduce_config
from filtercrawl_plugins.sources.hub.source import HubSource

pytestmark = pytest.mark.usefixtures("forked_children")


def offered(config: dict[str, Any] | None) -> Checkpoint:
    file = RemoteFile(url="https://huggingface.co/org/net/resolve/1/model.safetensors", path="model.safetensors")
    extra = {"config": config and reduce_config(json.loads(json.dumps(config)))}
    return Checkpoint(name="org/net/model.safetensors", files=(file,), meta=CheckpointMetadata(extra=extra))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto"])
def test_timm_networks_have_the_names_and_shapes_of_their_weights(name: str) -> None:
    config = {"architecture": name, "num_classes": 7, "num_features": 1, "global_pool": "avg"}
    if "vit" in name:
        config |= {"model_args": {"img_size": 96}, "pretrained_cfg": {"input_size": [3, 96, 96], "url": "https://x"}}
    module = HubSource().build(offered(config))
    options = {"img_size": 96, "global_pool": "avg"} if "vit" in name else {}
    expected = timm.create_model(name, num_classes=7, **options).state_dict()
    assert {key: tensor.shape for key, tensor in module.state_dict().items()} == {
        key: tensor.shape for key, tensor in expected.items()
    }
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    assert not module.training
    if "vit" in name:
        assert module.pretrained_cfg["input_size"] == (3, 96, 96)


def test_a_record_is_enough_in_a_fresh_process() -> None:
    checkpoint = offered({"architecture": "resnet18", "num_classes": 3})
    code = (
        "import pickle, sys\n"
        "from filtercrawl_plugins.sources.hub.source import HubSource\n"
        "module = HubSource().build(pickle.load(sys.stdin.buffer))\n"
        "print(module.fc.weight.shape, module.fc.weight.device)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(checkpoint), capture_output=True, check=True)
    assert done.stdout.decode().strip() == "torch.Size([3, 512]) meta"


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"architecture": "resnet18_of_tomorrow"},
        {"architecture": "hf-hub:org/net"},  # an address to timm, which would fetch from it
        {"architecture": "local-dir:/etc"},
        {"architecture": ["resnet18"]},
        {"architecture": "resnet18", "model_args": {"no_such_option": 1}},
        {"architecture": "resnet18", "num_classes": 10**12},
        {"architecture": "convnext_atto", "model_args": {"depths": [10**7] * 4}},
        {"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 100_000}},
        {"model_type": "bert", "architectures": ["Net"], "auto_map": {"AutoModel": "code.Net"}},
    ],
)
def test_what_cannot_be_built_is_one_line(config: dict[str, Any] | None) -> None:
    with pytest.raises(UnsupportedError, match=r"org/net/model\.safetensors") as caught:
        HubSource().build(offered(config))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_config_chooses_no_file_and_no_download() -> None:
    args = {"pretrained": True, "checkpoint_path": "/no/such/file", "pretrained_cfg": "org/net", "cache_dir": "/no"}
    module = HubSource().build(offered({"architecture": "resnet18", "num_classes": 3, "model_args": args}))
    assert module.fc.weight.shape == (3, 512)


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filtercrawl_plugins.sources.hub.build.find_spec", lambda name: None)
    for config, package in [
        ({"model_type": "resnet", "architectures": ["ResNetModel"]}, "transformers"),
        ({"_class_name": "AutoencoderKL"}, "diffusers"),
    ]:
        with pytest.raises(UnsupportedError, match=f"{package}, which is not installed"):
            HubSource().build(offered(config))


def test_without_timm_the_extra_is_named_and_the_family_is_that_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    with pytest.raises(UnsupportedError, match=r"its architecture needs timm; pip install 'filtercrawl\[zoos\]'$"):
        HubSource().build(offered({"architecture": "resnet18"}))
    assert timm_family("resnet18") is None


def test_only_networks_of_the_library_are_built() -> None:
    pytest.importorskip("transformers", reason="transformers is an optional library")
    for name in ("AutoModel", "pipeline", "NoSuchNet", "PreTrainedTokenizer"):
        with pytest.raises(UnsupportedError, match="transformers has no architecture"):
            HubSource().build(offered({"model_type": "resnet", "architectures": [name]}))
    pytest.importorskip("diffusers", reason="diffusers is an optional library")
    for name in ("DiffusionPipeline", "configuration_utils", "__name__"):
        with pytest.raises(UnsupportedError, match="diffusers has no architecture"):
            HubSource().build(offered({"_class_name": name}))


@pytest.mark.parametrize(
    "options", [{}, {"use_timm_backbone": False, "backbone_kwargs": {"out_indices": [1, 2, 3, 4]}}]
)
def test_a_backbone_of_timm_is_built_without_a_request(options: dict[str, Any]) -> None:
    pytest.importorskip("transformers", reason="transformers is an optional library")
    config = {"model_type": "detr", "architectures": ["DetrModel"], "backbone": "resnet18", "d_model": 8} | options
    names = HubSource().build(offered(config | {"encoder_layers": 1, "decoder_layers": 1})).state_dict()
    assert any("layer4.1.conv2.weight" in name for name in names)


def test_a_backbone_in_another_repository_is_not_fetched() -> None:
    pytest.importorskip("transformers", reason="transformers is an optional library")
    for backbone in ("org/net", "microsoft/resnet-50", "hf-hub:org/net"):
        nested = {"model_type": "upernet", "architectures": ["UperNetForSemanticSegmentation"], "backbone": backbone}
        with pytest.raises(UnsupportedError, match="is in another repository"):
            HubSource().build(offered(nested))


def test_settings_that_are_tensors_keep_their_numbers() -> None:
    pytest.importorskip("transformers", reason="transformers is an optional library")
    module = HubSource().build(offered(TRANSFORMERS["codecs of waves"]))
    assert all(tensor.is_meta for tensor in module.state_dict().values())
    settings = [buffer for name, buffer in module.named_buffers() if name.endswith("padding_total")]
    assert settings
    assert all(int(setting) >= 0 for setting in settings)


TRANSFORMERS: dict[str, dict[str, Any]] = {
    "images": {
        "model_type": "vit", "architectures": ["ViTModel"], "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "image_size": 32, "patch_size": 16,
    },
    "images and token ids": {
        "model_type": "clip", "architectures": ["CLIPModel"],
        "vision_config": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
                          "image_size": 32, "patch_size": 16},
        "text_config": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8,
                        "vocab_size": 99},
    },
    "waves": {
        "model_type": "wav2vec2", "architectures": ["Wav2Vec2Model"], "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "conv_dim": [8, 8], "conv_kernel": [10, 3],
        "conv_stride": [5, 2], "num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 4,
    },
    "codecs of waves": {
        "model_type": "encodec", "architectures": ["EncodecModel"], "num_filters": 4, "hidden_size": 8,
        "upsampling_ratios": [8, 4, 4], "num_lstm_layers": 1, "codebook_size": 8, "codebook_dim": 8,
        "target_bandwidths": [6.0],
    },
    "spectra and token ids": {
        "model_type": "whisper", "architectures": ["WhisperModel"], "d_model": 8, "encoder_layers": 1,
        "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 8,
        "decoder_ffn_dim": 8, "vocab_size": 99, "num_mel_bins": 16, "max_source_positions": 50, "pad_token_id": 0,
        "decoder_start_token_id": 1, "bos_token_id": 1, "eos_token_id": 1,
    },
    "images and token ids with places for them": {
        "model_type": "got_ocr2", "architectures": ["GotOcr2Model"], "image_seq_length": 4, "image_token_index": 98,
        "vision_config": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 8,
                          "image_size": 128, "patch_size": 16, "output_channels": 8, "window_size": 2,
                          "global_attn_indexes": [0]},
        "text_config": {"model_type": "qwen2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                        "num_key_value_heads": 2, "intermediate_size": 8, "vocab_size": 99},
    },
    "token ids": {
        "model_type": "mamba2", "architectures": ["Mamba2Model"], "hidden_size": 8, "num_hidden_layers": 2,
        "num_heads": 2, "head_dim": 8, "state_size": 4, "n_groups": 1, "vocab_size": 99, "chunk_size": 16,
        "time_step_limit": [0.0, {"__float__": "Infinity"}],
    },
}  # fmt: skip
DIFFUSERS: dict[str, dict[str, Any]] = {
    "latents, times and texts": {
        "_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16], "norm_num_groups": 2,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 8, "attention_head_dim": 2,
        "layers_per_block": 1, "sample_size": 16,
    },
    "conditions": {
        "_class_name": "ControlNetModel", "block_out_channels": [8, 16], "norm_num_groups": 2,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "cross_attention_dim": 8,
        "attention_head_dim": 2, "layers_per_block": 1, "conditioning_embedding_out_channels": [8, 16],
    },
    "videos in full precision": {
        "_class_name": "MochiTransformer3DModel", "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1,
        "pooled_projection_dim": 8, "in_channels": 4, "text_embed_dim": 8, "time_embed_dim": 8,
    },
    "videos": {
        "_class_name": "AutoencoderKLWan", "base_dim": 8, "z_dim": 4, "dim_mult": [1, 2], "num_res_blocks": 1,
        "temperal_downsample": [True],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_networks_of_transformers_have_depths(kind: str) -> None:
    pytest.importorskip("transformers", reason="transformers is an optional library")
    assert_every_depth(TRANSFORMERS[kind])


@pytest.mark.parametrize("kind", DIFFUSERS)
def test_networks_of_diffusers_have_depths(kind: str) -> None:
    pytest.importorskip("diffusers", reason="diffusers is an optional library")
    assert_every_depth(DIFFUSERS[kind])


def assert_every_depth(config: dict[str, Any]) -> None:
    checkpoint = offered(config)
    module = HubSource().build(checkpoint)
    structure = trace(module, HubSource().sample(checkpoint, module))
    assert structure.problem is None
    found = [facts.depth for _, facts, _ in structure.convolutions()]
    assert found
    assert None not in found
    assert any(depth is not None and depth.is_first for depth in found)


def test_timm_networks_take_the_usual_image() -> None:
    checkpoint = offered({"architecture": "resnet18"})
    module = HubSource().build(checkpoint)
    assert HubSource().sample(checkpoint, module) is None
    assert module(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


@pytest.mark.parametrize(
    "config",
    [
        {"model_args": {"layers": [100_000, 1, 1, 1]}},
        {"model_args": {"depths": [[4000], [97]]}},
        {"num_hidden_layers": 4097},
        {"stages": [1] * 4097},
        {"hidden_size": 10**4000},
    ],
)
def test_a_config_of_too_many_blocks_is_refused_before_it_is_built(config: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="supported"):
        check_config_limits(config)


def test_configs_of_real_networks_are_within_the_limits() -> None:
    check_config_limits(
        {"layers": [3, 8, 36, 3], "num_hidden_layers": 61, "n_routed_experts": 256, "out_layers": [2, 5]}
    )
