"""Batch normalizations behind convolutions, their epsilons, and those that an exporter has folded."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnx.reference
import pytest
import torch
from onnx import helper
from torch import nn

from filtercrawl.api.convolution import FollowingNorm
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.plan import bn_folded, plan_recipes
from support.effective_networks import effective, largest_error, randomize
from support.onnx_models import branch, model, node, random_array, read, tensor

NORM = FollowingNorm(path="n", scale="s", offset="o", mean="m", variance="v")


def positive(*shape):
    return np.abs(random_array(*shape, seed=5)) + 1


def initializers():
    vectors = {name: random_array(4, seed=i) for i, name in enumerate("somb")}
    return [
        tensor("w", random_array(4, 3, 3, 3)),
        tensor("v", positive(4)),
        *(tensor(name, array) for name, array in vectors.items()),
    ]


def built(*nodes, **norm):
    given = {"epsilon": 1e-3, **norm}
    normalization = node("BatchNormalization", ["c", "s", "o", "m", "v"], "y", "n", **given)
    return model([node("Conv", ["x", "w", "b"], "c", "conv"), normalization, *nodes], initializers())


def test_a_norm_that_alone_takes_the_output_follows() -> None:
    stored = read(built())
    assert (stored["w"].norm, stored["w"].bias, stored["w"].bn_folded) == (NORM, "b", False)
    assert stored["v"].eps == np.float32(1e-3)
    assert stored["m"].eps is None


def test_the_effective_weight_is_what_the_model_computes() -> None:
    graph = built()
    stored = list(read(graph).values())
    (plan,) = plan_recipes(classify_tensors(stored).layers, stored)
    weight, bias = effective(plan)
    image = random_array(1, 3, 8, 8, seed=9)
    (expected,) = onnx.reference.ReferenceEvaluator(graph).run(None, {"x": image})
    ours = nn.functional.conv2d(torch.from_numpy(image).double(), weight.double(), bias)
    assert largest_error(ours, torch.from_numpy(expected)) < 1e-5
    assert plan.read().norm.evidence == "graph"


def test_the_default_epsilon_is_that_of_the_operator() -> None:
    graph = built()
    del graph.graph.node[1].attribute[:]
    assert read(graph)["v"].eps == 1e-5


@pytest.mark.parametrize(
    "graph",
    [
        built(node("Relu", ["c"], "z")),  # something else takes the output
        built(training_mode=1),
        built(node("If", ["q"], "z", then_branch=branch([node("Relu", ["c"], "y")]), else_branch=branch([]))),
        model(
            [
                node("Conv", ["x", "w"], "c"),
                node("Relu", ["c"], "r"),
                node("BatchNormalization", ["r", "s", "o", "m", "v"], "y", "n"),
            ],
            initializers(),
        ),
        model(  # the scale is computed
            [
                node("Conv", ["x", "w"], "c"),
                node("Mul", ["s", "x"], "q"),
                node("BatchNormalization", ["c", "q", "o", "m", "v"], "y", "n"),
            ],
            initializers(),
        ),
        model(  # the bias is computed
            [
                node("Mul", ["b", "x"], "q"),
                node("Conv", ["x", "w", "q"], "c"),
                node("BatchNormalization", ["c", "s", "o", "m", "v"], "y", "n"),
            ],
            initializers(),
        ),
        model(  # two convolutions with one weight
            [
                node("Conv", ["x", "w"], "c"),
                node("Conv", ["x", "w"], "d"),
                node("BatchNormalization", ["c", "s", "o", "m", "v"], "y", "n"),
            ],
            initializers(),
        ),
    ],
)
def test_no_norm_follows_where_folding_would_be_another_function(graph) -> None:
    stored = read(graph)["w"]
    assert (stored.norm, stored.bn_folded) == (None, None)


def test_an_output_of_the_model_is_used() -> None:
    graph = built()
    graph.graph.output.append(helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, None))
    assert read(graph)["w"].norm is None


def test_two_epsilons_of_one_variance_are_none() -> None:
    other = node("BatchNormalization", ["x", "s", "o", "m", "v"], "z", "other", epsilon=1e-2)
    assert read(built(other))["v"].eps is None


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 5, 3)
        self.fc = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv2(torch.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def exported(module: nn.Module, *, folded: bool) -> dict[str, object]:
    buffer = io.BytesIO()
    training = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.TRAINING
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(1, 3, 9, 9),), buffer, dynamo=False, training=training, do_constant_folding=folded
        )
    return read(buffer.getvalue())


def test_names_of_the_exporter_of_torch_show_what_it_folded() -> None:
    layers = [tensor for tensor in exported(randomize(Network()), folded=True).values() if tensor.convolution]
    assert [layer.bn_folded for layer in layers if layer.shape == (4, 3, 3, 3)] == [True]
    assert [layer.bn_folded for layer in layers if layer.shape == (5, 4, 3, 3)] == [None]


def test_a_layer_is_not_folded_where_its_norm_is_there() -> None:
    stored = list(read(built()).values())
    (layer,) = classify_tensors(stored).emitted
    assert bn_folded(layer, plan_recipes([layer], stored)[0]) is False
