"""The batch normalization behind each convolution of a Keras model, by the connections that its description states."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.keras.config import LayerConfig

_CONVOLUTION: Final = re.compile(r"(Depthwise|Separable)?Conv(?:olution)?([123])D(Transpose)?")
_NORM: Final = "BatchNormalization"
# https://keras.io/api/layers/normalization_layers/batch_normalization
_DEFAULT_EPS: Final = 1e-3
_MODELS: Final = frozenset({"Functional", "Model", "Sequential"})
# A tensor in a description is nested in few lists and objects.
_MAX_DEPTH: Final = 16


def following_layers(top: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of the batch normalization that alone takes the output of each convolution.

    Layers whose names occur twice in the model, that are called twice, or whose activation comes first have none.

    Args:
        top: The description of a model, whose size has been checked.
    """
    found: dict[str, str] = {}
    names: Counter[str] = Counter()
    pending = [top]
    while pending:
        model = pending.pop()
        layers = _layers(model)
        names.update(layers.keys())
        pending += [layer for layer in layers.values() if layer.get("class_name") in _MODELS]
        found.update(_following(model, layers))
    return {conv: norm for conv, norm in found.items() if names[conv] == names[norm] == 1}


def _layers(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the layers of a model by name, in their order; empty where two have one name."""
    settings = model.get("config")
    listed = settings.get("layers") if isinstance(settings, dict) else settings
    if model.get("class_name") not in _MODELS or not isinstance(listed, list):
        return {}
    named: dict[str, Mapping[str, Any]] = {}
    for layer in listed:
        config = layer.get("config") if isinstance(layer, dict) else None
        if isinstance(config, dict) and isinstance(config.get("name"), str):
            named[config["name"]] = layer
    return named if len(named) == len(listed) else {}


def _following(model: Mapping[str, Any], layers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    users: dict[str, list[str]] = defaultdict(list)
    if model.get("class_name") == "Sequential":
        for name, follower in pairwise(layers):
            users[name].append(follower)
        calls = dict.fromkeys(layers, 1)
    else:
        calls = {name: _n_calls(layer) for name, layer in layers.items()}
        for name, layer in layers.items():
            for taken in _references(layer.get("inbound_nodes"), layers):
                users[taken].append(name)
        settings = model.get("config")
        for taken in _references(settings.get("output_layers") if isinstance(settings, dict) else None, layers):
            users[taken].append("")
    for name, layer in layers.items():
        user = users[name][0] if len(users[name]) == 1 else ""
        if user and calls[name] == calls[user] == 1 and _is_pair(layer, layers[user]):
            yield name, user


def _n_calls(layer: Mapping[str, Any]) -> int:
    nodes = layer.get("inbound_nodes")
    return len(nodes) if isinstance(nodes, list) else 0


def _references(value: Any, layers: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield the layers whose outputs a description refers to: `[name, node, tensor]`, or a `keras_history` of these."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        if (
            len(value) >= 3
            and isinstance(value[0], str)
            and value[0] in layers
            and type(value[1]) is int
            and type(value[2]) is int
        ):
            yield value[0]
            value = value[3:]
        for item in value:
            yield from _references(item, layers, depth + 1)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _references(item, layers, depth + 1)


def _is_pair(conv: Mapping[str, Any], norm: Mapping[str, Any]) -> bool:
    """Return whether a normalization works on the output channels of a convolution without an activation."""
    match = _CONVOLUTION.fullmatch(str(conv.get("class_name")))
    if match is None or norm.get("class_name") != _NORM:
        return False
    settings, axis = conv["config"], norm["config"].get("axis", -1)
    if settings.get("activation") not in (None, "linear") or settings.get("data_format") == "channels_first":
        return False
    return axis in (-1, [-1], int(match[2]) + 1, [int(match[2]) + 1])


@dataclass(frozen=True, kw_only=True)
class LayerArray:
    """An array of a layer that the description of the model has.

    Attributes:
        name: Name of the layer.
        layer: The layer.
        leaf: Name or number of the array in the layer.
    """

    name: str
    layer: LayerConfig
    leaf: str

    @property
    def statistic(self) -> str | None:
        """Which array of a batch normalization it is; None for any other layer."""
        if self.layer.cls != _NORM or self.layer.custom:
            return None
        names = [*_affine(self.layer), "moving_mean", "moving_variance"]
        return names[int(self.leaf)] if self.leaf.isdecimal() and int(self.leaf) < len(names) else self.leaf

    @property
    def makes_output(self) -> bool:
        """Whether it is the kernel whose convolution the layer returns: of two, the pointwise one is."""
        return not self.layer.cls.startswith("Separable") or self.leaf in ("pointwise_kernel", "1")


def attach_norms(
    tensors: Sequence[StoredTensor], arrays: Sequence[LayerArray | None], following: Mapping[str, str]
) -> Iterator[StoredTensor]:
    """Yield tensors with the batch normalizations behind convolutions, and what these add to variances.

    Args:
        tensors: The arrays of a model.
        arrays: What each of them is in its layer; None where the description does not tell.
        following: What `following_layers` returns.
    """
    norms: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    biases: dict[str, str] = {}
    affine: dict[str, set[str]] = {}
    for tensor, array in zip(tensors, arrays, strict=True):
        if array is not None and array.statistic is not None:
            norms[array.name][array.statistic] = tensor
            affine[array.name] = set(_affine(array.layer))
        elif array is not None and tensor.reason == "bias":
            biases[array.name] = tensor.name
    for tensor, array in zip(tensors, arrays, strict=True):
        if array is not None and array.statistic == "moving_variance":
            yield replace(tensor, eps=_epsilon(array.layer))
            continue
        path = following.get(array.name) if array is not None and tensor.convolution is not None else None
        if array is None or path is None or not array.makes_output or not affine.get(path, {""}) <= norms[path].keys():
            yield tensor
        else:
            yield _with_norm(tensor, path, norms[path], biases.get(array.name))


def _affine(layer: LayerConfig) -> list[str]:
    """Return the learned arrays that a batch normalization has."""
    return [name for name, given in (("gamma", "scale"), ("beta", "center")) if layer.settings.get(given, True)]


def _epsilon(layer: LayerConfig) -> float | None:
    """Return what a batch normalization adds to the variance; None where its settings are not known."""
    eps = layer.settings.get("epsilon", _DEFAULT_EPS)
    return float(eps) if layer.settings and type(eps) in (int, float) else None


def _with_norm(kernel: StoredTensor, path: str, norm: Mapping[str, StoredTensor], bias: str | None) -> StoredTensor:
    names = {leaf: tensor.name for leaf, tensor in norm.items()}
    if "moving_mean" not in names or "moving_variance" not in names:
        return kernel
    following = FollowingNorm(
        path=path,
        scale=names.get("gamma"),
        offset=names.get("beta"),
        mean=names["moving_mean"],
        variance=names["moving_variance"],
    )
    return replace(kernel, norm=following, bias=bias, bn_folded=False)
