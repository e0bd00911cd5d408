"""Build the architecture that a config.json names, on the meta device and only with code of installed packages."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from torch import nn

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UnsupportedError
from filtercrawl.api.extras import missing_extra
from filtercrawl.extraction.architecture import on_meta
from filtercrawl_plugins.sources.hub import diffusers_inputs, transformers_inputs
from filtercrawl_plugins.sources.hub.example_inputs import Proposal, proposals

Config = Mapping[str, Any]
# Upper limits of a config: any number, and the number of layers or the length of a list.
_MAX_NUMBER: Final = 1 << 21
_MAX_BLOCKS: Final = 4096
# Keys that would make a library fetch, read or run something; `auto_map` names code in the repository.
_REMOVED_KEYS: Final = frozenset(
    {
        "auto_map", "quantization_config", "trust_remote_code", "custom_pipelines", "use_kernels",
        "attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation",
        "_experts_implementation", "_experts_implementation_internal",
    }
)  # fmt: skip
_FLOAT_KEY: Final = "__float__"
_SPECIAL_FLOATS: Final = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


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
                return _without_numbers(on_meta(functools.partial(make, config)))
            except UnsupportedError as error:
                raise UnsupportedError(f"{checkpoint.name}: {error}") from error
            except Exception as error:  # invalid numbers may raise anything in a constructor
                detail = " ".join(str(error).split())[:200]
                raise UnsupportedError(
                    f"{checkpoint.name}: cannot be built: {type(error).__name__}: {detail}"
                ) from error
    raise UnsupportedError(f"{checkpoint.name}: its config.json names no architecture")


def _without_numbers(module: nn.Module) -> nn.Module:
    """Move what a checkpoint stores to the meta device; other buffers hold settings, such as strides."""
    for part in module.modules():
        tensors = (part._parameters, part._buffers)  # noqa: SLF001 - the only way to replace both as they are
        for name, tensor in [item for held in tensors for item in held.items()]:
            if tensor is None or tensor.is_meta or name in part._non_persistent_buffers_set:  # noqa: SLF001 - as above
                continue
            if isinstance(tensor, nn.Parameter):
                part._parameters[name] = nn.Parameter(tensor.to("meta"), requires_grad=tensor.requires_grad)  # noqa: SLF001 - as above
            else:
                part._buffers[name] = tensor.to("meta")  # noqa: SLF001 - as above
    return module


def sample(checkpoint: Checkpoint, module: nn.Module) -> list[Proposal] | None:
    """Return calls to try, batch size 1; None if the default image is suitable, as for timm."""
    config = checkpoint.meta.extra.get("config") or {}
    if "architecture" in config:
        return None
    if "_class_name" in config:
        base = _import_package("diffusers").ModelMixin
        return proposals(module, diffusers_inputs.RULES, diffusers_inputs.OPTIONAL, base)
    if isinstance(config.get("model_type"), str):
        base = _import_package("transformers").PreTrainedModel
        return proposals(module, transformers_inputs.RULES, transformers_inputs.OPTIONAL, base)
    return None


def check_config_limits(value: Any) -> None:
    """Raise UnsupportedError if a number in a config would make a constructor run for very long."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if _is_count(str(name)) and (count := _total(item)) > _MAX_BLOCKS:
                raise UnsupportedError(
                    f"its config has {str(name)[:80]} = {count}, at most {_MAX_BLOCKS} are supported"
                )
            check_config_limits(item)
    elif isinstance(value, list):
        if len(value) > _MAX_BLOCKS:
            raise UnsupportedError(f"its config has a list of {len(value)} values, at most {_MAX_BLOCKS} are supported")
        for item in value:
            check_config_limits(item)
    elif isinstance(value, int) and abs(value) > _MAX_NUMBER:
        raise UnsupportedError("its config has a number beyond the supported maximum")


def _total(value: Any) -> int:
    """Return a number, or the sum of a list of them: blocks are often stated stage by stage."""
    if isinstance(value, list):
        return sum(map(_total, value))
    return max(value, 0) if isinstance(value, int) else 0


def _is_count(name: str) -> bool:
    """Return whether a key states a number of layers or blocks."""
    return any(word in name for word in ("depth", "layers", "blocks", "repeats", "stages", "experts"))


def _build_timm(config: Config) -> nn.Module:
    timm = _import_timm()
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
    # Of the implementations of experts, the one that looks at no numbers; this reaches all nested configs.
    model_config._experts_implementation = "batched_mm"  # noqa: SLF001 - as it is called
    model_config.use_cache = False
    class_name = classes[0] if isinstance(classes, list) and classes else None
    module: nn.Module = _find_class(transformers, class_name, transformers.PreTrainedModel)(model_config)
    return module


def _build_diffusers(config: Config) -> nn.Module:
    diffusers = _import_package("diffusers")
    model_class = _find_class(diffusers, config["_class_name"], diffusers.ModelMixin)
    module: nn.Module = model_class.from_config(_without_remote_code(config))
    return module


def _import_timm() -> Any:
    if reason := missing_extra("zoos", "timm"):
        raise UnsupportedError(f"its architecture {reason}")
    return importlib.import_module("timm")


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
    """Return a config, and the configs nested in it, without keys that would make a library fetch or run something.

    Raises:
        UnsupportedError: A backbone is named by a repository, whose config would have to be fetched.
    """
    safe = {name: _safe_value(value) for name, value in config.items() if name not in {*_REMOVED_KEYS, *other_keys}}
    safe |= {name: False for name in ("use_pretrained_backbone", "pretrained") if name in safe}
    backbone = safe.get("backbone")
    if isinstance(backbone, str) and not safe.get("backbone_config") and config.get("model_type") != "timm_backbone":
        if not _import_timm().is_model(backbone):
            raise UnsupportedError(f"its backbone {backbone[:80]!r} is in another repository, which is not fetched")
        if not safe.get("use_timm_backbone"):
            options = safe.pop("backbone_kwargs", None) or {}
            safe["backbone_config"] = {**options, "model_type": "timm_backbone", "backbone": safe.pop("backbone")}
    return safe


def _safe_value(value: Any) -> Any:
    """Return a value without unsafe keys, and with the numbers that JSON does not have: `{"__float__": "Infinity"}`."""
    if isinstance(value, list):
        return [_safe_value(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    stated = value.get(_FLOAT_KEY)
    if isinstance(stated, str) and len(value) == 1 and stated in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[stated]
    return _without_remote_code(value)


_BUILDERS: Final[tuple[tuple[Callable[[Config], bool], Callable[[Config], nn.Module]], ...]] = (
    (lambda config: "architecture" in config, _build_timm),
    (lambda config: "_class_name" in config, _build_diffusers),
    (lambda config: "model_type" in config, _build_transformers),
)
