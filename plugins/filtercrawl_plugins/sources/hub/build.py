"""Build the architecture that a config.json names: on the meta device, by the code of installed packages alone."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

import torch
from torch import Tensor, nn

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UnsupportedError

Config = Mapping[str, Any]
# More layers, channels or pixels than any network has: what a config may not ask for.
_LARGEST: Final = 1 << 20
_MOST_BLOCKS: Final = 4096
_SIDE: Final = 224
# What would fetch, read or run something; `auto_map` names code in the repo.
_NEVER: Final = frozenset({"auto_map", "quantization_config", "trust_remote_code", "custom_pipelines"})


def build(checkpoint: Checkpoint) -> nn.Module:
    """Return the network of a checkpoint, without weights; raises UnsupportedError where it is not known."""
    config = checkpoint.meta.extra.get("config")
    if not isinstance(config, Mapping):
        raise UnsupportedError(f"{checkpoint.name}: its repo has no config.json that names an architecture")
    for fits, make in _MAKERS:
        if fits(config):
            try:
                check_config_limits(config)
                with torch.device("meta"):
                    module = make(config)
                return module.to("meta").eval()  # some constructors make a tensor on a device of their own choice
            except UnsupportedError as error:
                raise UnsupportedError(f"{checkpoint.name}: {error}") from error
            except Exception as error:  # a stranger's numbers can break a constructor in any way
                line = " ".join(str(error).split())[:200]
                raise UnsupportedError(f"{checkpoint.name}: cannot be built: {type(error).__name__}: {line}") from error
    raise UnsupportedError(f"{checkpoint.name}: its config.json names no architecture")


def sample(checkpoint: Checkpoint, module: nn.Module) -> tuple[Tensor, ...] | None:
    """Return inputs for `build`'s network on the meta device, batch 1; None where the default will do."""
    config = checkpoint.meta.extra.get("config") or {}
    if "_class_name" in config:
        return _of_diffusers(config, module)
    if "architecture" in config or not isinstance(config.get("model_type"), str):
        return None
    if getattr(module, "main_input_name", "pixel_values") == "input_values":
        return (torch.empty(1, 16000, device="meta"),)  # a second of sound
    channels, side = config.get("num_channels", 3), config.get("image_size", _SIDE)
    height, width = side if isinstance(side, list) and len(side) == 2 else (side, side)
    return (torch.empty(1, channels, height, width, device="meta"),)


def check_config_limits(value: Any) -> None:
    """Raise UnsupportedError for numbers that would keep a constructor busy for ever."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, int) and _counts(str(name)) and item > _MOST_BLOCKS:
                raise UnsupportedError(f"its config asks for {name} = {item}")
            check_config_limits(item)
    elif isinstance(value, list):
        if len(value) > _MOST_BLOCKS:
            raise UnsupportedError(f"its config holds a list of {len(value)} values")
        for item in value:
            check_config_limits(item)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise UnsupportedError(f"its config holds the number {value}")


def _counts(name: str) -> bool:
    return any(word in name for word in ("depth", "layers", "blocks", "repeats", "stages", "experts"))


def _timm(config: Config) -> nn.Module:
    import timm

    name = config["architecture"]
    # Other names are addresses to timm, which it would fetch from.
    if not isinstance(name, str) or not timm.is_model(name):
        raise UnsupportedError(f"timm has no architecture {str(name)[:80]!r}; a newer timm may")
    stated = config.get("model_args")
    own = inspect.signature(timm.create_model).parameters
    options = {key: value for key, value in (stated if isinstance(stated, Mapping) else {}).items() if key not in own}
    if isinstance(config.get("num_classes"), int):
        options["num_classes"] = config["num_classes"]
    if isinstance(config.get("global_pool"), str):
        options["global_pool"] = config["global_pool"]
    pretrained = config.get("pretrained_cfg")
    size = pretrained.get("input_size") if isinstance(pretrained, Mapping) else None
    if isinstance(size, list) and len(size) == 3 and all(isinstance(side, int) for side in size):
        options["pretrained_cfg_overlay"] = {"input_size": tuple(size)}
    module: nn.Module = timm.create_model(name, pretrained=False, **options)
    return module


def _transformers(config: Config) -> nn.Module:
    transformers = _installed("transformers")
    named = config.get("architectures")
    kind = config.get("model_type")
    if "auto_map" in config or not isinstance(kind, str):
        raise UnsupportedError("its architecture is code in its repo, which is never run")
    made = transformers.AutoConfig.for_model(kind, **_without_remote_code(config, "model_type"))
    first = named[0] if isinstance(named, list) and named else None
    module: nn.Module = _class(transformers, first, transformers.PreTrainedModel)(made)
    return module


def _diffusers(config: Config) -> nn.Module:
    diffusers = _installed("diffusers")
    found = _class(diffusers, config["_class_name"], diffusers.ModelMixin)
    module: nn.Module = found.from_config(_without_remote_code(config))
    return module


def _of_diffusers(config: Config, module: nn.Module) -> tuple[Tensor, ...] | None:
    names = list(inspect.signature(module.forward).parameters)
    side, channels = config.get("sample_size"), config.get("in_channels")
    if not isinstance(side, int) or not isinstance(channels, int) or names[:1] != ["sample"]:
        return None
    image = torch.empty(1, channels, min(side, _SIDE // 32 * 32), min(side, _SIDE // 32 * 32), device="meta")
    if names[1:2] != ["timestep"]:
        return (image,)
    time = torch.empty(1, device="meta")
    context = config.get("cross_attention_dim")
    return (image, time, torch.empty(1, 77, context, device="meta")) if isinstance(context, int) else (image, time)


def _installed(package: str) -> Any:
    if find_spec(package) is None:
        raise UnsupportedError(f"its architecture is one of {package}, which is not installed")
    return importlib.import_module(package)


def _class(package: Any, name: object, base: type) -> Any:
    """Return a class of a package by its name; raises UnsupportedError for anything else that has this name."""
    found = getattr(package, name, None) if isinstance(name, str) and name.isidentifier() else None
    own = inspect.isclass(found) and issubclass(found, base) and found.__module__.split(".")[0] == package.__name__
    if not own:
        raise UnsupportedError(f"{package.__name__} has no architecture {str(name)[:80]!r}")
    return found


def _without_remote_code(config: Config, *more: str) -> dict[str, Any]:
    """Return a config without what would fetch or run something, nested ones too."""
    kept = {}
    for name, value in config.items():
        if name in _NEVER or name in more:
            continue
        kept[name] = _without_remote_code(value) if isinstance(value, Mapping) else value
        if name in ("use_pretrained_backbone", "pretrained"):
            kept[name] = False
    return kept


_MAKERS: Final[tuple[tuple[Callable[[Config], bool], Callable[[Config], nn.Module]], ...]] = (
    (lambda config: "architecture" in config, _timm),
    (lambda config: "_class_name" in config, _diffusers),
    (lambda config: "model_type" in config, _transformers),
)
