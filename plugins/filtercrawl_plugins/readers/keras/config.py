"""The description of a Keras model: a JSON object of layers, which may hold layers again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from filtercrawl.api.errors import FormatError
from filtercrawl_plugins.formats.json_text import parse_json

MAX_LAYERS: Final = 100_000
# Settings of a layer or model that hold other layers.
_NESTED: Final = ("layers", "layer", "forward_layer", "backward_layer", "cell", "model")
# Packages whose classes are those of Keras.
_KERAS_PACKAGES: Final = frozenset({"keras", "tf_keras", "tensorflow"})


@dataclass(frozen=True, kw_only=True)
class LayerConfig:
    """A layer as the description of its model states it.

    Attributes:
        cls: Name of its class, without the package.
        settings: Its settings; empty where only the class is known.
        custom: Whether the class is none of Keras but of a package of its own, which the file states.
    """

    cls: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    custom: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The layers of a model.

    Attributes:
        by_name: Layers by name; without names that two different classes share.
        by_class: All layers by the name of their class in lower case.
        description: The JSON object that describes the model.
    """

    by_name: Mapping[str, LayerConfig] = field(default_factory=dict)
    by_class: Mapping[str, Sequence[LayerConfig]] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)

    def of_folder(self, groups: Sequence[str]) -> LayerConfig | None:
        """Return the layer of a folder that Keras 3 names after a class.

        Args:
            groups: Path of the folder, as `("layers", "conv2d_transpose_1")`.

        Returns:
            The layer, without settings where several may be meant. None if no layer is of this class, or if two
            classes have this name.
        """
        folder = re.sub(r"_\d+$", "", groups[-1]) if groups else ""
        layers = self.by_class.get(folder.replace("_", ""), ())
        if len({(layer.cls, layer.custom) for layer in layers}) != 1:
            return None
        # Deeper folders may be those of layers that no description lists: a class makes them.
        is_certain = len(layers) == 1 and len(groups) == 2
        return layers[0] if is_certain or layers[0].custom else replace(layers[0], settings={})


def parse_config(text: str | bytes, file: str) -> ModelConfig:
    """Return the layers of a model.

    Args:
        text: The JSON text.
        file: Name of the file, for messages.

    Raises:
        FormatError: The text is no description of a Keras model.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    top = parse_json(data, f"{file}: the configuration of the Keras model")
    if not isinstance(top, dict) or not isinstance(top.get("class_name"), str):
        raise FormatError(f"{file}: the configuration describes no Keras model; it has no class_name")
    by_name: dict[str, LayerConfig] = {}
    by_class: dict[str, list[LayerConfig]] = {}
    ambiguous: set[str] = set()
    for name, layer in _layers(top, file):
        by_class.setdefault(layer.cls.lower(), []).append(layer)
        known = by_name.setdefault(name, layer) if isinstance(name, str) else layer
        if (known.cls, known.custom) != (layer.cls, layer.custom):
            ambiguous.add(name)
    named = {name: layer for name, layer in by_name.items() if name not in ambiguous}
    return ModelConfig(by_name=named, by_class=by_class, description=top)


def _layers(top: Mapping[str, Any], file: str) -> Iterator[tuple[Any, LayerConfig]]:
    """Yield name and description of every layer, those inside of others too; raises FormatError."""
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
            nested = settings if isinstance(settings, dict) else {}
            pending.extend(nested[key] for key in _NESTED if isinstance(nested.get(key), dict | list))
            if isinstance(settings, list):  # a Sequential of Keras 1 and 2.0
                pending.extend(settings)
            layer = _layer(node, nested)
            if layer is not None:
                yield nested.get("name", node.get("name")), layer


def _layer(node: Mapping[str, Any], settings: Mapping[str, Any]) -> LayerConfig | None:
    """Return a layer, None if the object has no class."""
    cls, module, registered = (node.get(key) for key in ("class_name", "module", "registered_name"))
    if not isinstance(cls, str):
        return None
    package = module.partition(".")[0] if isinstance(module, str) else "keras"
    is_registered = ">" in cls or (isinstance(registered, str) and ">" in registered)
    return LayerConfig(
        cls=cls.rpartition(">")[2], settings=settings, custom=is_registered or package not in _KERAS_PACKAGES
    )
