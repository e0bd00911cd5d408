"""Layers against random ones of their shape: how often random ones are told apart, and that planted tails are."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, NOT_TOLD_APART, TOO_LITTLE
from filtercrawl_analysis.statistics.spectra.layer_rows import spectrum_row
from filtercrawl_analysis.statistics.spectra.layer_spectrum import layer_spectrum
from filtercrawl_analysis.statistics.spectra.model_spectra import _MEDIANS, model_spectra
from filtercrawl_analysis.statistics.spectra.random_spectra import RandomSpectra

SHAPE = (16, 8, 9)


def verdicts(weight: np.ndarray, random: RandomSpectra) -> tuple[str, str]:
    spectrum = layer_spectrum(weight.reshape(16, 8, 3, 3))
    assert spectrum is not None
    row = spectrum_row(spectrum, random.fits(SHAPE, float(weight.var())))
    return row["alpha_verdict"], row["soft_rank_verdict"]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("scale", "layers", "most"),
    [
        (1.0, 10, 3),
        pytest.param(1.0, 150, 15, marks=pytest.mark.exhaustive),
        pytest.param(1e-3, 150, 15, marks=pytest.mark.exhaustive),
    ],
)
def test_random_layers_are_told_apart_as_often_as_stated(scale: float, layers: int, most: int) -> None:
    source = np.random.default_rng(5)
    # The range of other random layers each time, so that the rate is not that of one range.
    found = [verdicts(scale * source.standard_normal(SHAPE), RandomSpectra(seed)) for seed in range(layers)]
    for of_measure in zip(*found, strict=True):
        # 5 % expected; more than `most` have a probability of 1 %.
        assert sum(verdict != NOT_TOLD_APART for verdict in of_measure) <= most


def test_a_layer_of_few_directions_is_told_apart() -> None:
    source = np.random.default_rng(1)
    planted = source.standard_normal((16, 8, 9)) + 2 * source.standard_normal((16, 1, 9)) * source.standard_normal(
        (1, 8, 9)
    )
    assert verdicts(planted, RandomSpectra(0)) == (LOWER, LOWER)


def test_the_seed_decides_and_the_order_does_not() -> None:
    first, second = RandomSpectra(3), RandomSpectra(3)
    shapes = [(16, 8, 9), (4, 4, 25), (1, 32, 9)]
    forward = [first.fits(shape, 0.1) for shape in shapes]
    backward = [second.fits(shape, 0.1) for shape in reversed(shapes)]
    assert forward == backward[::-1]
    assert forward != [RandomSpectra(4).fits(shape, 0.1) for shape in shapes]


def test_models_are_told_by_the_number_of_their_layers() -> None:
    layers = [("trained", LOWER)] * 5 + [("random", NOT_TOLD_APART)] * 39 + [("random", HIGHER)] * 2
    layers += [("mixed", LOWER), *[("mixed", NOT_TOLD_APART)] * 5, ("small", None)]
    table = pa.table(
        {
            "model_id": [model for model, _ in layers],
            "alpha_verdict": [verdict for _, verdict in layers],
            "soft_rank_verdict": pa.nulls(len(layers), pa.string()),
            **{name: pa.array([1.0] * len(layers)) for name in _MEDIANS},
        }
    )
    found = {row["model_id"]: row for row in model_spectra(table).to_pylist()}
    assert {name: row["alpha_verdict"] for name, row in found.items()} == {
        "trained": LOWER,
        "random": NOT_TOLD_APART,
        "mixed": NOT_TOLD_APART,
        "small": TOO_LITTLE,
    }
    assert {row["soft_rank_verdict"] for row in found.values()} == {TOO_LITTLE}
    assert [found["random"][f"alpha_{count}"] for count in ("fitted", "lower", "higher")] == [41, 0, 2]
    assert found["trained"]["alpha_p"] == pytest.approx(1 / math.comb(44, 5))  # all of 5 below all of 39


@pytest.mark.exhaustive
def test_random_models_have_more_lower_layers_than_chance_as_often_as_stated() -> None:
    source = np.random.default_rng(8)
    told = 0
    for seed in range(100):
        random = RandomSpectra(seed)
        found = [verdicts(source.standard_normal(SHAPE), random) for _ in range(10)]
        table = pa.table(
            {
                "model_id": ["m"] * 10,
                "alpha_verdict": [alpha for alpha, _ in found],
                "soft_rank_verdict": [rank for _, rank in found],
                **{name: pa.array([1.0] * 10) for name in _MEDIANS},
            }
        )
        told += model_spectra(table)["alpha_verdict"][0].as_py() == LOWER
    assert told <= 11  # at most 5 expected; more have a probability of 1 %


def test_a_layer_of_equal_weights_has_no_random_counterpart() -> None:
    fits = RandomSpectra(0).fits((8, 8, 9), 0.0)
    assert (fits.alpha, fits.soft_rank) == (None, None)
    spectrum = layer_spectrum(np.full((8, 8, 3, 3), 0.5), 1)
    assert spectrum is not None
    row = spectrum_row(spectrum, fits)
    assert row["matrix_rank"] == 1
    assert row.get("alpha_verdict") is None
