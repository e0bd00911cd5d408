"""Batch normalizations behind the convolutions of Keras models, by the connections that their descriptions state."""

from __future__ import annotations

import io
import json
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.plan import plan_recipes
from filtercrawl_plugins.readers.keras.following_norm import following_layers
from filtercrawl_plugins.readers.keras.readers import KerasHdf5Reader
from support.effective_networks import effective
from support.torch_files import OneFile

RNG = np.random.default_rng(0)


def layer(cls: str, name: str, *inputs: str, **settings: Any) -> dict[str, Any]:
    nodes = [[[taken, 0, 0, {}] for taken in inputs]] if inputs else []
    return {"class_name": cls, "name": name, "config": {"name": name, **settings}, "inbound_nodes": nodes}


def newer(cls: str, name: str, *inputs: str, **settings: Any) -> dict[str, Any]:
    """A layer as Keras 3 describes it."""
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [taken, 0, 0]}} for taken in inputs]
    given = {"args": tensors if len(inputs) == 1 else [tensors], "kwargs": {}}
    return layer(cls, name, **settings) | {"inbound_nodes": [given] if inputs else []}


def functional(*layers: dict[str, Any], outputs: tuple[str, ...] = ()) -> dict[str, Any]:
    config = {"name": "model", "layers": list(layers), "output_layers": [[name, 0, 0] for name in outputs]}
    return {"class_name": "Functional", "config": config}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(layers)}}


@pytest.mark.parametrize("make", [layer, newer])
def test_a_norm_that_alone_takes_the_output_follows(make) -> None:
    model = functional(
        make("InputLayer", "image"),
        make("Conv2D", "conv", "image", activation="linear"),
        make("BatchNormalization", "norm", "conv", axis=[3]),
        make("DepthwiseConv2D", "dw", "norm"),
        make("BatchNormalization", "dw_norm", "dw"),
        outputs=("dw_norm",),
    )
    assert following_layers(model) == {"conv": "norm", "dw": "dw_norm"}


def test_in_a_sequence_it_is_the_next_layer() -> None:
    model = sequential(
        layer("Conv2D", "a"), layer("BatchNormalization", "b"), layer("Conv2D", "c"), layer("Activation", "d")
    )
    assert following_layers(model) == {"a": "b"}
    nested = functional(layer("InputLayer", "image"), model | {"inbound_nodes": [[["image", 0, 0, {}]]]})
    assert following_layers(nested) == {"a": "b"}


@pytest.mark.parametrize(
    "model",
    [
        functional(  # the output is used again
            layer("Conv2D", "conv", "x"),
            layer("BatchNormalization", "norm", "conv"),
            layer("Add", "sum", "norm", "conv"),
        ),
        functional(layer("Conv2D", "conv", "x"), layer("BatchNormalization", "norm", "conv"), outputs=("conv",)),
        functional(layer("Conv2D", "conv", "x", activation="relu"), layer("BatchNormalization", "norm", "conv")),
        functional(layer("Conv2D", "conv", "x"), layer("BatchNormalization", "norm", "conv", axis=1)),
        functional(
            layer("Conv2D", "conv", "x", data_format="channels_first"), layer("BatchNormalization", "n", "conv")
        ),
        functional(layer("Conv2D", "conv", "x"), layer("LayerNormalization", "norm", "conv")),
        functional(layer("Conv2D", "conv", "x") | {"inbound_nodes": [[[[], 0, 0], ["conv", {}]]]}),
        functional(  # it is called twice
            layer("Conv2D", "conv", "x") | {"inbound_nodes": [[["x", 0, 0, {}]], [["y", 0, 0, {}]]]},
            layer("BatchNormalization", "norm", "conv"),
        ),
        sequential(layer("Conv2D", "conv", activation="relu"), layer("BatchNormalization", "norm")),
        {"class_name": "Functional", "config": {"layers": [[], {}, {"config": {"name": []}}, None]}},
        {"class_name": "Functional", "config": [1]},
        {},
    ],
)
def test_no_norm_follows_where_folding_would_be_another_function(model) -> None:
    assert following_layers(model) == {}


ARRAYS = {
    "conv": {"kernel": RNG.normal(size=(3, 3, 2, 4)), "bias": RNG.normal(size=4)},
    "norm": {
        "gamma": RNG.normal(size=4),
        "beta": RNG.normal(size=4),
        "moving_mean": RNG.normal(size=4),
        "moving_variance": RNG.uniform(0.1, 2, size=4),
    },
}
MODEL = functional(
    layer("Conv2D", "conv", "image"), layer("BatchNormalization", "norm", "conv", epsilon=0.01), outputs=("norm",)
)


def stored(path: str, *, numbered: bool = False, without: str = "") -> list[StoredTensor]:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(MODEL)
        file.create_group("model_weights").attrs["layer_names"] = list(ARRAYS)
        for name, arrays in ARRAYS.items():
            for i, (leaf, value) in enumerate(arrays.items()):
                if leaf != without:
                    place = path.format(name=name, leaf=i if numbered else leaf)
                    file[place] = value.astype("f4")
                    if numbered:
                        file[place.rpartition("/")[0]].attrs["name"] = name
    return list(KerasHdf5Reader().tensors(OneFile(MemoryFile(buffer.getvalue(), "m.h5"))))


@pytest.mark.parametrize(
    ("path", "numbered"), [("model_weights/{name}/{name}/{leaf}:0", False), ("layers/{name}/vars/{leaf}", True)]
)
def test_the_effective_weight_is_what_keras_computes(path, numbered) -> None:
    tensors = stored(path, numbered=numbered)
    (plan,) = plan_recipes(classify_tensors(tensors).layers, tensors)
    weight, bias = effective(plan)
    recipe = plan.read()
    assert (recipe.norm.evidence, recipe.norm.eps, recipe.norm.path) == ("graph", 0.01, "norm")
    image = torch.from_numpy(RNG.normal(size=(1, 2, 6, 6)))
    numbers = {leaf: torch.from_numpy(value) for arrays in ARRAYS.values() for leaf, value in arrays.items()}
    plain = nn.functional.conv2d(image, numbers["kernel"].permute(3, 2, 0, 1), numbers["bias"])
    expected = nn.functional.batch_norm(
        plain, numbers["moving_mean"], numbers["moving_variance"], numbers["gamma"], numbers["beta"], eps=0.01
    )
    ours = nn.functional.conv2d(image, weight.double(), bias.double())
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("without", ["gamma", "beta", "moving_mean", "moving_variance"])
def test_a_norm_whose_numbers_are_missing_is_not_folded(without) -> None:
    tensors = stored("model_weights/{name}/{name}/{leaf}:0", without=without)
    assert plan_recipes(classify_tensors(tensors).layers, tensors) == ()
