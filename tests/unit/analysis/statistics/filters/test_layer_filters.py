"""Filters of a layer: norms, energy, twins, dead ones and copies."""

from __future__ import annotations

import numpy as np
import pytest

from filtercrawl_analysis.statistics.filters.filter_rows import filter_batch, layer_row, model_rows
from filtercrawl_analysis.statistics.filters.layer_filters import copies_of_independent, layer_filters


def planted() -> np.ndarray:
    """32 filters: 3 is a scaled, slightly changed copy of 17, 5 is all but zero, 6 is zero, 8 has a NaN."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((32, 8, 3, 3))
    weight[3] = -0.4 * (weight[17] + 0.03 * random.standard_normal((8, 3, 3)))
    weight[5] *= 1e-4
    weight[6] = 0
    weight[8, 0, 0, 0] = np.nan
    return weight


def test_norms_and_energy() -> None:
    weight = planted()
    found = layer_filters(weight.astype(np.float32))
    flat = weight.astype(np.float32).astype(np.float64).reshape(32, -1)
    finite = np.arange(32) != 8
    assert found.norm_l1[finite] == pytest.approx(np.abs(flat[finite]).sum(1))
    assert found.norm_l2[finite] == pytest.approx(np.linalg.norm(flat[finite], axis=1))
    assert found.norm_linf[finite] == pytest.approx(np.abs(flat[finite]).max(1))
    energy = np.square(flat[finite]).sum(1)
    assert found.energy_share[finite] == pytest.approx(energy / energy.sum())
    assert np.isnan(found.norm_l2[8])


def test_planted_copies_and_dead_filters_are_found() -> None:
    found = layer_filters(planted())
    assert np.flatnonzero(found.copy).tolist() == [3, 17]
    assert (found.twin[3], found.twin[17]) == (17, 3)
    assert found.twin_cosine[3] < -0.998
    assert np.flatnonzero(found.dead).tolist() == [5, 6]
    assert found.twin[6] == found.twin[8] == -1
    assert not {6, 8} & set(found.twin.tolist())


def test_an_outlier_makes_no_other_filter_dead() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 4, 3, 3))
    weight[0] *= 50
    assert not layer_filters(weight).dead.any()


@pytest.mark.parametrize("weight", [np.zeros((4, 2, 3)), np.full((4, 2, 3), np.nan), np.ones((1, 2, 3))])
def test_layers_without_pairs(weight: np.ndarray) -> None:
    found = layer_filters(weight)
    assert (found.twin == -1).all()
    assert not found.copy.any()
    assert found.dead.all() == (not weight.any())
    filter_batch("m#l", "m", found).validate(full=True)
    assert layer_row(found, 0.0)["twin_similarity"] is None


def test_unknown_numbers_are_null_in_rows() -> None:
    rows = filter_batch("m#l", "m", layer_filters(planted())).to_pylist()
    assert rows[3]["filter_id"] == "m#l:3"
    assert (rows[3]["twin"], rows[3]["copy"], rows[3]["dead"]) == (17, True, False)
    assert {name for name, value in rows[8].items() if value is None} == set(rows[8]) - {
        "filter_id",
        "layer_id",
        "model_id",
        "out_channel",
    }
    assert (rows[6]["twin"], rows[6]["twin_cosine"], rows[6]["dead"]) == (None, None, True)


def test_filters_of_few_directions_have_copies_by_chance() -> None:
    random = np.random.default_rng(1)
    shapes = random.standard_normal((200, 2)) @ random.standard_normal((2, 9))
    weight = shapes.reshape(200, 1, 3, 3)
    found = layer_filters(weight)
    assert found.copy.mean() > 0.9
    expected = copies_of_independent(weight, found, random)
    assert expected is not None
    assert expected > 0.9
    assert copies_of_independent(planted(), layer_filters(planted()), random) == 0


def test_models_are_judged_by_the_copies_that_chance_gives() -> None:
    def layer(model: str, n_copies: int, independent: float | None) -> dict[str, object]:
        row = layer_row(layer_filters(planted()), independent)
        return row | {"model_id": model, "n_copies": n_copies, "n_nonfinite_filters": 0}

    layers = [layer("planted", 4, 0.0), layer("planted", 0, 0.0), layer("chance", 8, 0.2), layer("none", 0, 0.0)]
    layers.append(layer("unknown", 2, None))
    found = model_rows(layers).to_pylist()
    assert {row["model_id"]: row["copies"] for row in found} == {
        "planted": "more than independent filters",
        "chance": "not told apart",
        "none": "none",
        "unknown": "not told apart",
    }
    assert [row["model_id"] for row in found] == ["chance", "planted", "unknown", "none"]
    assert found[1]["copy_share"] == 4 / 64
