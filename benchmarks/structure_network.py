"""One network of transformers or diffusers, built from its default config as from a config.json on the Hub."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import diffusers
import torch
import transformers
from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile
from filtercrawl.extraction.architecture import trace
from filtercrawl_plugins.sources.hub.model_config import parse_config
from filtercrawl_plugins.sources.hub.source import HubSource

# What classes of diffusers need that have no default for it, as in published configs.
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3, "out_channels": 3, "latent_channels": 64, "layers_per_block": 2,
        "block_out_channels": [128, 256, 512, 512, 1024, 1024], "spatial_compression_ratio": 32, "sample_size": 384,
    },
    "ControlNetUnionModel": {
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": True, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
    },
    "EasyAnimateTransformer3DModel": {"in_channels": 16, "out_channels": 16, "patch_size": 2},
    "HunyuanDiT2DControlNetModel": {"in_channels": 4, "patch_size": 2, "sample_size": 128, "hidden_size": 1408},
    "HunyuanDiT2DModel": {"in_channels": 4, "patch_size": 2, "sample_size": 128, "hidden_size": 1408},
    "LatteTransformer3DModel": {
        "in_channels": 4, "out_channels": 8, "patch_size": 2, "num_layers": 28, "attention_head_dim": 72,
        "cross_attention_dim": 1152, "caption_channels": 4096, "norm_type": "ada_norm_single", "attention_bias": True,
        "num_embeds_ada_norm": 1000,
    },
    "OmniGenTransformer2DModel": {"rope_scaling": {"long_factor": [1.0] * 48, "short_factor": [1.0] * 48}},
    "Transformer2DModel": {
        "in_channels": 320, "num_attention_heads": 8, "attention_head_dim": 40, "cross_attention_dim": 768,
        "norm_type": "layer_norm",
    },
}  # fmt: skip
# Seconds of one trace.
_SECONDS: Final = 50


@dataclass
class Result:
    """What came of one config; seconds of building and tracing, bytes in memory."""

    name: str
    class_name: str | None = None
    unavailable: str | None = None
    problem: str | None = None
    build: float = 0.0
    trace: float = 0.0
    n_convolutions: int = 0
    n_with_depth: int = 0
    without_depth: list[str] = field(default_factory=list)
    memory: int = 0
    commit: str | None = None


def everything() -> Iterator[str]:
    yield from (f"diffusers:{name}" for name in sorted(dir(diffusers)) if _is_model(getattr(diffusers, name, None)))
    yield from (f"transformers:{name}" for name in CONFIG_MAPPING if classes_of(name))


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, diffusers.ModelMixin) and value is not diffusers.ModelMixin


def classes_of(model_type: str) -> list[str]:
    """Return the classes of a model type, its base model first."""
    tables = sorted(name for name in dir(modeling_auto) if name.endswith("_MAPPING_NAMES") and "CONFIG" not in name)
    found: dict[str, None] = {}
    for table in ["MODEL_MAPPING_NAMES", *tables]:
        names = getattr(modeling_auto, table).get(model_type) or ()
        found.update(dict.fromkeys([names] if isinstance(names, str) else names))
    return [name for name in found if hasattr(transformers, name)]


def config_of(name: str, class_name: str) -> dict[str, Any]:
    """Return the config.json that a library writes for a default config."""
    library, _, key = name.partition(":")
    if library == "diffusers":
        return {"_class_name": class_name, **_SETTINGS.get(class_name, {})}
    config = CONFIG_MAPPING[key]()
    config.architectures = [class_name]
    stated: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return stated


def built_by_library(name: str, class_name: str) -> nn.Module:
    """Build the network as its library does; raises whatever the library raises."""
    library, _, key = name.partition(":")
    with torch.device("meta"):
        if library == "diffusers":
            module: nn.Module = getattr(diffusers, class_name).from_config(_SETTINGS.get(class_name, {}))
        else:
            module = getattr(transformers, class_name)(CONFIG_MAPPING[key]())
    return module


def measure(name: str) -> Result | None:
    """Build and trace one network, of the first class that its library builds; None if it has no convolutions."""
    library, _, key = name.partition(":")
    unavailable: Result | None = None
    for class_name in [key] if library == "diffusers" else classes_of(key):
        result = _measure(name, class_name)
        if result is None or not result.unavailable:
            return result
        unavailable = unavailable or result
    return unavailable


def _measure(name: str, class_name: str) -> Result | None:
    result = Result(name, class_name)
    try:
        config = config_of(name, class_name)
    except Exception as error:  # noqa: BLE001 - the report names what fails
        result.unavailable = one_line(error)
        return result
    file = RemoteFile(url="https://host/model.safetensors", path="model.safetensors")
    extra = {"config": parse_config(json.dumps(config).encode())}
    checkpoint = Checkpoint(name=name, files=(file,), meta=CheckpointMetadata(extra=extra))
    source, start = HubSource(), time.perf_counter()
    try:
        module = source.build(checkpoint)
    except Exception as error:  # noqa: BLE001 - as above
        try:
            result.n_convolutions = n_convolutions(built_by_library(name, class_name))
        except Exception as own:  # noqa: BLE001 - as above
            result.unavailable = one_line(own)
            return result
        result.problem = one_line(error)
        return result if result.n_convolutions else None
    result.n_convolutions = n_convolutions(module)
    if not result.n_convolutions:
        return None
    built = time.perf_counter()
    structure = trace(module, source.sample(checkpoint, module), seconds=_SECONDS)
    result.build, result.trace = built - start, time.perf_counter() - built
    result.problem = structure.problem
    depths = {key: facts.depth for key, facts, _ in structure.convolutions()}
    result.n_convolutions = len(depths) or result.n_convolutions
    result.n_with_depth = sum(depth is not None for depth in depths.values())
    result.without_depth = [key for key, depth in depths.items() if depth is None]
    return result


def n_convolutions(module: nn.Module) -> int:
    return sum(isinstance(part, _ConvNd) for part in module.modules())


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
