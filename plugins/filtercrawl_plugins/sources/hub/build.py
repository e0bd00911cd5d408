"""Build the architecture that a config.json names, on the meta device and only with code of installed packages."""

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
# Upper limits of a config: any number, and the number of layers or the length of a list.
_MAX_NUMBER: Final = 1 << 20
_MAX_BLOCKS: Final = 4096
# Side of a default input image, in pixels.
_IMAGE_SIZE: Final = 224
# Keys that would make a library fetch, read or run something; `auto_map` names code in the repository.
_REMOVED_KEYS: Final = frozenset({"auto_map", "quantization_config", "trust_remote_code", "custom_pipelines"})


def build(checkpoint: Checkpoint) -> nn.Module:
    """Build the network of a checkpoint without weights.

    Args:
        checkpoint: A checkpoint whose `meta.extra["config"]` is its reduced config.json.

    Returns:
        The network on the meta device, in evaluation mode.

    Raises:
        UnsupportedError: The architecture is not known, its library is not installed, or the config is invalid.
    """
    config = checkpoint.meta.extra.get("config")
    if not isinstance(config, Mapping):
        raise UnsupportedError(f"{checkpoint.name}: its repository has no config.json that names an architecture")
    for applies, make in _BUILDERS:
        if applies(config):
            try:
                check_config_limits(config)
                with torch.device("meta"):
                    module = make(config)
                return module.to("meta").eval()  # some constructors ignore the default device
            except UnsupportedError as error:
                raise UnsupportedError(f"{checkpoint.name}: {error}") from error
            except Exception as error:  # invalid numbers may raise anything in a constructor
                detail = " ".join(str(error).split())[:200]
                raise UnsupportedError(
                    f"{checkpoint.name}: cannot be built: {type(error).__name__}: {detail}"
                ) from error
    raise UnsupportedError(f"{checkpoint.name}: its config.json names no architecture")


def sample(checkpoint: Checkpoint, module: nn.Module) -> tuple[Tensor, ...] | None:
    """Return inputs of one call, batch size 1, on the meta device; None if the default image is suitable."""
    config = checkpoint.meta.extra.get("config") or {}
    if "_class_name" in config:
        return _sample_diffusers(config, module)
    if "architecture" in config or not isinstance(config.get("model_type"), str):
        return None
    if getattr(module, "main_input_name", "pixel_values") == "input_values":
        return (torch.empty(1, 16000, device="meta"),)  # one second of audio at 16 kHz
    channels, side = config.get("num_channels", 3), config.get("image_size", _IMAGE_SIZE)
    height, width = side if isinstance(side, list) and len(side) == 2 else (side, side)
    return (torch.empty(1, channels, height, width, device="meta"),)


def check_config_limits(value: Any) -> None:
    """Raise UnsupportedError if a number in a config would make a constructor run for very long."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if isinstance(item, int) and _is_count(str(name)) and item > _MAX_BLOCKS:
                raise UnsupportedError(f"its config has {name} = {item}, at most {_MAX_BLOCKS} are supported")
            check_config_limits(item)
    elif isinstance(value, list):
        if len(value) > _MAX_BLOCKS:
            raise UnsupportedError(f"its config has a list of {len(value)} values, at most {_MAX_BLOCKS} are supported")
        for item in value:
            check_config_limits(item)
    elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise UnsupportedError(f"its config has the number {value}, beyond the supported maximum")


def _is_count(name: str) -> bool:
    """Return whether a key states a number of layers or blocks."""
    return any(word in name for word in ("depth", "layers", "blocks", "repeats", "stages", "experts"))


def _build_timm(config: Config) -> nn.Module:
    import timm

    name = config["architecture"]
    # timm would take any other name as the address of a repository and fetch from it.
    if not isinstance(name, str) or not timm.is_model(name):
        raise UnsupportedError(f"the installed timm has no architecture {str(name)[:80]!r}; update timm")
    model_args = config.get("model_args")
    reserved = inspect.signature(timm.create_model).parameters
    arguments = model_args if isinstance(model_args, Mapping) else {}
    options = {key: value for key, value in arguments.items() if key not in reserved}
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


def _build_transformers(config: Config) -> nn.Module:
    transformers = _import_package("transformers")
    classes = config.get("architectures")
    model_type = config.get("model_type")
    if "auto_map" in config or not isinstance(model_type, str):
        raise UnsupportedError("its architecture is defined by code in its repository, which is never run")
    model_config = transformers.AutoConfig.for_model(model_type, **_without_remote_code(config, "model_type"))
    class_name = classes[0] if isinstance(classes, list) and classes else None
    module: nn.Module = _find_class(transformers, class_name, transformers.PreTrainedModel)(model_config)
    return module


def _build_diffusers(config: Config) -> nn.Module:
    diffusers = _import_package("diffusers")
    model_class = _find_class(diffusers, config["_class_name"], diffusers.ModelMixin)
    module: nn.Module = model_class.from_config(_without_remote_code(config))
    return module


def _sample_diffusers(config: Config, module: nn.Module) -> tuple[Tensor, ...] | None:
    """Return latent image, timestep and text embedding, as far as the network takes them."""
    names = list(inspect.signature(module.forward).parameters)
    side, channels = config.get("sample_size"), config.get("in_channels")
    if not isinstance(side, int) or not isinstance(channels, int) or names[:1] != ["sample"]:
        return None
    image = torch.empty(
        1, channels, min(side, _IMAGE_SIZE // 32 * 32), min(side, _IMAGE_SIZE // 32 * 32), device="meta"
    )
    if names[1:2] != ["timestep"]:
        return (image,)
    time = torch.empty(1, device="meta")
    context = config.get("cross_attention_dim")
    return (image, time, torch.empty(1, 77, context, device="meta")) if isinstance(context, int) else (image, time)


def _import_package(package: str) -> Any:
    if find_spec(package) is None:
        raise UnsupportedError(f"its architecture needs {package}, which is not installed")
    return importlib.import_module(package)


def _find_class(package: Any, name: object, base: type) -> Any:
    """Return a class that a package defines and that derives from `base`; raises UnsupportedError otherwise."""
    found = getattr(package, name, None) if isinstance(name, str) and name.isidentifier() else None
    is_own = inspect.isclass(found) and issubclass(found, base) and found.__module__.split(".")[0] == package.__name__
    if not is_own:
        raise UnsupportedError(f"{package.__name__} has no architecture {str(name)[:80]!r}")
    return found


def _without_remote_code(config: Config, *other_keys: str) -> dict[str, Any]:
    """Return a config, and the configs nested in it, without keys that would make a library fetch or run something."""
    safe = {}
    for name, value in config.items():
        if name in _REMOVED_KEYS or name in other_keys:
            continue
        safe[name] = _without_remote_code(value) if isinstance(value, Mapping) else value
        if name in ("use_pretrained_backbone", "pretrained"):
            safe[name] = False
    return safe


_BUILDERS: Final[tuple[tuple[Callable[[Config], bool], Callable[[Config], nn.Module]], ...]] = (
    (lambda config: "architecture" in config, _build_timm),
    (lambda config: "_class_name" in config, _build_diffusers),
    (lambda config: "model_type" in config, _build_transformers),
)
