"""The description of a Keras model: a JSON object of layers, which may hold layers again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from filtercrawl.api.errors import FormatError

MAX_LAYERS: Final = 100_000
# Settings of a layer or model that hold other layers.
_NESTED: Final = ("layers", "layer", "forward_layer", "backward_layer", "cell", "model")


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """A layer as the description of its model states it.

    Attributes:
        cls: Name of its class, without the package.
        settings: Its settings; empty where only the class is known.
    """

    cls: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def parse_config(text: str | bytes, file: str) -> dict[str, LayerConfig]:
    """Return the layers of a model by name; a name that two different classes share is left out.

    Args:
        text: The JSON text.
        file: Name of the file, for messages.

    Raises:
        FormatError: The text is no description of a Keras model.
    """
    try:
        top = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file}: the configuration of the Keras model is not valid JSON ({error})") from error
    if not isinstance(top, dict) or not isinstance(top.get("class_name"), str):
        raise FormatError(f"{file}: the configuration describes no Keras model; it has no class_name")
    layers: dict[str, LayerConfig] = {}
    ambiguous: set[str] = set()
    pending: list[Any] = [top]
    visited = 0
    while pending:
        node = pending.pop()
        visited += 1
        if visited > MAX_LAYERS:
            raise FormatError(f"{file}: the configuration has more than {MAX_LAYERS} layers")
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            settings = node.get("config")
            cls, nested = node.get("class_name"), settings if isinstance(settings, dict) else {}
            pending.extend(nested[key] for key in _NESTED if isinstance(nested.get(key), dict | list))
            if isinstance(settings, list):  # a Sequential of Keras 1 and 2.0
                pending.extend(settings)
            name = nested.get("name", node.get("name"))
            if isinstance(cls, str) and isinstance(name, str):
                layer = LayerConfig(cls=cls.rpartition(">")[2], settings=nested)
                if layers.setdefault(name, layer).cls != layer.cls:
                    ambiguous.add(name)
    return {name: layer for name, layer in layers.items() if name not in ambiguous}
