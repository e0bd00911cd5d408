"""The config.json beside weights: read with a bound, and cut down to what building the architecture needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from filtercrawl.api.checkpoint import RemoteFile
from filtercrawl.api.errors import AccessDeniedError, CheckpointError, NotFoundError
from filtercrawl.api.transport import Transport
from filtercrawl_plugins.sources.hub.sanitize import sanitize_text

# Labels make most of the largest ones.
LARGEST: Final = 1024 * 1024
_LARGEST_KEPT: Final = 16 * 1024
# The names of classes, and where the numbers came from: no part of an architecture.
_LEFT_OUT: Final = frozenset({"id2label", "label2id", "label_names", "_name_or_path", "task_specific_params"})
# Of a timm config's description of the training, what a model's input looks like.
_OF_TIMM: Final = ("input_size", "num_classes", "fixed_input_size", "pool_size")


def fetch_config(transport: Transport, file: RemoteFile) -> dict[str, Any] | None:
    """Return the JSON object in a file, cut down; None where there is none that can be had. Raises NetworkError."""
    if file.size is None or not 2 <= file.size <= LARGEST:
        return None
    opened = transport.open(file)
    try:
        return parse_config(opened.read(0, file.size))
    except (NotFoundError, AccessDeniedError, CheckpointError):
        return None
    finally:
        getattr(opened, "close", lambda: None)()


def parse_config(data: bytes) -> dict[str, Any] | None:
    """Read and cut down a config; None for what is no JSON object or stays too large."""
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return reduce_config(config) if isinstance(config, dict) else None


def reduce_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a config without labels; None where it is too large or holds what cannot be shown."""
    kept = {name: value for name, value in config.items() if name not in _LEFT_OUT}
    labels = config.get("id2label")
    if isinstance(labels, dict) and "num_labels" not in kept and "num_classes" not in kept:
        kept["num_labels"] = len(labels)
    pretrained = kept.get("pretrained_cfg")
    if isinstance(pretrained, dict):
        kept["pretrained_cfg"] = {name: pretrained[name] for name in _OF_TIMM if name in pretrained}
    try:
        sound = _is_sound(kept) and len(json.dumps(kept)) <= _LARGEST_KEPT
    except RecursionError:
        sound = False
    return kept if sound else None


def architecture(config: Mapping[str, Any] | None) -> str | None:
    """Return the architecture that a config of timm, diffusers or transformers names."""
    config = config or {}
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    for value in (config.get("architecture"), config.get("_class_name"), first, config.get("model_type")):
        if text := sanitize_text(value):
            return text
    return None


def _is_sound(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_sound(name) and _is_sound(item) for name, item in value.items())
    if isinstance(value, list):
        return all(map(_is_sound, value))
    if isinstance(value, str):
        return value.isprintable()
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
