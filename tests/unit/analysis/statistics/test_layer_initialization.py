"""Layers and models against initial distributions: the known ones are found, and trained weights are none of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.initialization.distance import LayerWeights, init_distances, is_close
from filtercrawl_analysis.statistics.initialization.distributions import NORMAL, TRUNCATED, UNIFORM, init_distributions
from filtercrawl_analysis.statistics.initialization.layers import model_initialization
from filtercrawl_analysis.statistics.quality.weight_moments import weight_moments


def truncated(weight: torch.Tensor, std: float) -> torch.Tensor:
    """Fill as Keras and flax do: truncated at two deviations, enlarged to the full variance."""
    std /= 0.87962566103423978
    return torch.nn.init.trunc_normal_(weight, 0, std, -2 * std, 2 * std)


FILLS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "torch default": lambda w: torch.nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
    "he normal, fan in": torch.nn.init.kaiming_normal_,
    "he normal, fan out": lambda w: torch.nn.init.kaiming_normal_(w, mode="fan_out"),
    "he uniform, fan in": torch.nn.init.kaiming_uniform_,
    "he uniform, fan out": lambda w: torch.nn.init.kaiming_uniform_(w, mode="fan_out"),
    "he truncated, fan in": lambda w: truncated(w, math.sqrt(2 / (24 * 9))),
    "glorot normal": torch.nn.init.xavier_normal_,
    "glorot uniform": torch.nn.init.xavier_uniform_,
    "glorot truncated": lambda w: truncated(w, math.sqrt(2 / (120 * 9))),
    "lecun truncated": lambda w: truncated(w, math.sqrt(1 / (24 * 9))),
    "normal 0.02": lambda w: torch.nn.init.normal_(w, std=0.02),
    "truncated normal 0.02": lambda w: torch.nn.init.trunc_normal_(w, 0, 0.02, -0.04, 0.04),
    "normal 0.001": lambda w: torch.nn.init.normal_(w, std=0.001),
    "orthogonal": torch.nn.init.orthogonal_,
}


def layer_of(weight: torch.Tensor, groups: int = 1, orthogonality: float | None = None) -> LayerWeights:
    numbers = weight.double().numpy().ravel()
    moments = weight_moments([len(numbers), *((numbers**k).sum() for k in (1, 2, 3, 4))], float(np.abs(numbers).max()))
    assert moments is not None
    return LayerWeights(
        shape=tuple(weight.shape),
        groups=groups,
        moments=moments,
        sampled=numbers[:576],
        orthogonality=orthogonality,
        looks_random=True,
    )


@pytest.mark.parametrize("name", FILLS)
def test_the_nearest_law_is_the_one_that_a_layer_was_filled_by(name: str) -> None:
    torch.manual_seed(3)
    untrained = FILLS[name](torch.empty(96, 24, 3, 3))
    orthogonality = 1 - 1e-7 if name == "orthogonal" else 0.95
    layer = layer_of(untrained, orthogonality=orthogonality)
    nearest = init_distances(layer)[0]
    assert nearest.law.name == name
    assert is_close(layer, nearest)
    assert not nearest.beyond_bound
    assert nearest.std_ratio == pytest.approx(1, abs=0.02)


def test_timm_divides_the_fan_out_by_the_groups_and_keras_counts_depthwise_channels() -> None:
    laws = {law.name: law.std for law in init_distributions((96, 1, 3, 3), groups=96)}
    assert laws["he normal, fan out over groups"] == pytest.approx(math.sqrt(2 / 9))
    assert laws["he normal, fan out"] == pytest.approx(math.sqrt(2 / (96 * 9)))
    assert laws["keras glorot uniform"] == pytest.approx(math.sqrt(2 / (97 * 9)))
    dense = {law.name: law.std for law in init_distributions((96, 24, 3, 3))}
    assert dense["he normal, fan out over groups"] == dense["he normal, fan out"]
    assert dense["keras glorot uniform"] == dense["glorot uniform"]


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w * 1.05,
        lambda w: w * torch.randn(96, 24, 1, 1).mul(0.4).exp(),
        lambda w: w + 0.3 * w.std(),
        lambda w: w.sign() * w.abs() ** 1.2 * w.std() / (w.abs() ** 1.2).std(),
    ],
    ids=["scaled", "kernels of different scales", "shifted", "another shape"],
)
def test_what_differs_from_a_law_does_not_look_untrained(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    torch.manual_seed(4)
    layer = layer_of(change(FILLS["he normal, fan in"](torch.empty(96, 24, 3, 3))))
    assert not any(is_close(layer, distance) for distance in init_distances(layer))


def test_few_weights_tell_nothing() -> None:
    torch.manual_seed(5)
    layer = layer_of(FILLS["he normal, fan in"](torch.empty(10, 12, 3, 3)))
    nearest = init_distances(layer)[0]
    assert nearest.std_error > 0.02
    assert is_close(layer, nearest) is None


def test_structured_kernels_do_not_look_untrained() -> None:
    torch.manual_seed(6)
    layer = layer_of(FILLS["torch default"](torch.empty(96, 24, 3, 3)))
    told = LayerWeights(**{**vars(layer), "looks_random": False})
    assert is_close(told, init_distances(told)[0]) is False
    unknown = LayerWeights(**{**vars(layer), "looks_random": None})
    assert is_close(unknown, init_distances(unknown)[0]) is None


@pytest.mark.parametrize("shape", [NORMAL, UNIFORM, TRUNCATED], ids=lambda shape: shape.name)
def test_shapes_are_standardized(shape: object) -> None:
    assert isinstance(shape, type(NORMAL))
    quantiles = shape.quantiles(100_000)
    assert quantiles.mean() == pytest.approx(0, abs=1e-9)
    assert quantiles.std() == pytest.approx(1, abs=1e-3)
    assert stats.kurtosis(quantiles) == pytest.approx(shape.kurtosis, abs=2e-3)


@pytest.mark.parametrize("shape", ["normal", "uniform", "truncated"])
def test_draws_of_a_law_are_consistent_with_it_but_for_one_in_fifty(shape: str) -> None:
    law = next(law for law in init_distributions((24, 8, 3, 3)) if law.shape.name == shape)
    random = np.random.default_rng(7)
    consistent = 0
    for _ in range(200):
        drawn: Array = law.std * law.shape.quantile(random.random(1728))
        layer = layer_of(torch.from_numpy(drawn.reshape(24, 8, 3, 3)))
        consistent += next(d.consistent for d in init_distances(layer) if d.law == law)
    assert consistent >= 196


def test_moments_are_those_of_the_weights() -> None:
    drawn = np.random.default_rng(8).gamma(2, size=1000) - 1
    found = weight_moments([1000, *((drawn**k).sum() for k in (1, 2, 3, 4))], float(np.abs(drawn).max()))
    assert found is not None
    assert found.std == pytest.approx(drawn.std(), rel=1e-9)
    assert found.kurtosis == pytest.approx(stats.kurtosis(drawn), abs=1e-9)
    assert found.skewness == pytest.approx(stats.skew(drawn), abs=1e-9)


def test_weights_that_do_not_differ_have_no_spread() -> None:
    assert weight_moments([0, 0, 0, 0, 0], 0.0) is None
    assert weight_moments([9, 0, 0, 0, 0], 0.0) is None
    assert weight_moments([9, 9, 9, 9, 9], 1.0) is None


@pytest.mark.parametrize("name", ["torch default", "glorot uniform", "he truncated, fan in", "truncated normal 0.02"])
def test_weights_beyond_the_bound_of_a_law_are_close_to_it_and_no_draw(name: str) -> None:
    torch.manual_seed(9)
    weight = FILLS[name](torch.empty(96, 24, 3, 3))
    drawn = init_distances(layer_of(weight))[0]
    assert drawn.bound_ratio == pytest.approx(1, abs=1e-3)
    assert not init_distances(layer_of(weight.bfloat16().float()))[0].beyond_bound
    weight.view(-1)[7] *= 1.1 * weight.abs().max() / weight.view(-1)[7].abs()
    trained = layer_of(weight)
    nearest = init_distances(trained)[0]
    assert nearest.law.name == name
    assert is_close(trained, nearest)
    assert nearest.beyond_bound
    assert nearest.bound_ratio == pytest.approx(1.1, abs=1e-3)


@pytest.mark.parametrize("name", ["he normal, fan in", "orthogonal"])
def test_laws_without_a_bound_have_no_ratio(name: str) -> None:
    torch.manual_seed(10)
    orthogonality = 1 - 1e-7 if name == "orthogonal" else 0.95
    nearest = init_distances(layer_of(FILLS[name](torch.empty(96, 24, 3, 3)), orthogonality=orthogonality))[0]
    assert nearest.bound_ratio is None
    assert not nearest.beyond_bound


def test_most_layers_and_most_weights_of_a_model_decide() -> None:
    def layer(model: str, weights: int, laws: list[str] | None, *, beyond: bool = False) -> dict[str, object]:
        return {
            "model_id": model,
            "n_weights": weights,
            "close_laws": laws,
            "untrained_laws": [] if beyond else laws,
            "nearest_law": "glorot normal",
            "std_ratio": 1.01,
        }

    both = ["glorot normal", "he normal, fan in"]
    layers = [
        *(layer("untrained", 1000, laws) for laws in (both, ["glorot normal"], [])),
        *(layer("few layers", weights, laws) for weights, laws in ((5000, both), (10, []), (10, []))),
        *(layer("few weights", weights, laws) for weights, laws in ((10, both), (10, both), (5000, []))),
        *(layer("small", weights, laws) for weights, laws in ((3000, None), (1000, both))),
        *(layer("close", 1000, both, beyond=beyond) for beyond in (True, False, False)),
        layer("trained", 1000, []),
    ]
    found = {row["model_id"]: row for row in model_initialization(pa.Table.from_pylist(layers)).to_pylist()}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "untrained": "looks untrained",
        "few layers": "differs",
        "few weights": "differs",
        "small": "too small",
        "close": "close to initialization",
        "trained": "differs",
    }
    assert (found["close"]["close_layers"], found["close"]["untrained_layers"]) == (3, 2)
    assert (found["untrained"]["law"], found["untrained"]["untrained_layers"]) == ("glorot normal", 2)
    assert found["untrained"]["near_layers"] == 3
    assert found["trained"]["law"] is None
