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
from filtercrawl_plugins.sources.hub.model_config import reduce_config
from filtercrawl_plugins.sources.hub.source import HubSource


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


def test_networks_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = {
        "model_type": "resnet", "architectures": ["ResNetForImageClassification"], "embedding_size": 8,
        "num_channels": 3, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 5,
        "image_size": 64,
    }  # fmt: skip
    checkpoint = offered(config)
    module = HubSource().build(checkpoint)
    assert isinstance(module, transformers.ResNetForImageClassification)
    assert all(tensor.is_meta for tensor in module.parameters())
    inputs = HubSource().sample(checkpoint, module)
    assert inputs is not None
    assert module(*inputs).logits.shape == (1, 5)
    for name in ("AutoModel", "pipeline", "NoSuchNet", "PreTrainedTokenizer"):
        with pytest.raises(UnsupportedError, match="transformers has no architecture"):
            HubSource().build(offered(config | {"architectures": [name]}))


def test_networks_of_diffusers() -> None:
    pytest.importorskip("diffusers")
    config = {
        "_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "block_out_channels": [8],
        "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"], "norm_num_groups": 2,
        "sample_size": 32, "latent_channels": 4,
    }  # fmt: skip
    checkpoint = offered(config)
    module = HubSource().build(checkpoint)
    assert "encoder.conv_in.weight" in module.state_dict()
    assert all(tensor.is_meta for tensor in module.parameters())
    inputs = HubSource().sample(checkpoint, module)
    assert inputs is not None
    assert module(*inputs).sample.shape == (1, 3, 32, 32)
    for name in ("DiffusionPipeline", "configuration_utils", "__name__"):
        with pytest.raises(UnsupportedError, match="diffusers has no architecture"):
            HubSource().build(offered({"_class_name": name}))


def test_timm_networks_take_the_usual_image() -> None:
    checkpoint = offered({"architecture": "resnet18"})
    module = HubSource().build(checkpoint)
    assert HubSource().sample(checkpoint, module) is None
    assert module(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)
