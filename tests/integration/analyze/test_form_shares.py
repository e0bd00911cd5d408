"""The analysis `form` on networks whose kernels have a known form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from filtercrawl.api.analysis import Result
from filtercrawl_analysis.analyses.form import analyze
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.first_layers import fit_first_layers, principal_color_kernels
from filtercrawl_analysis.statistics.form.shares import mean_interval
from filtercrawl_analysis.statistics.form.templates import templates
from support.memory_view import Layer, MemoryView
from support.planted_forms import gabor, plant_gabors

Rows = list[dict[str, Any]]


def rows(result: Result, table: str) -> Rows:
    found: Rows = next(item for item in result.tables if item.name == table).rows.to_pylist()
    return found


def depthwise(kernels: Array, model: str, decile: int, family: str = "a") -> Layer:
    """A depthwise layer; every kernel with another scale."""
    scale = np.exp(np.random.default_rng(0).standard_normal((len(kernels), 1, 1)))
    weight = (kernels * scale).astype(np.float32)[:, None]
    return Layer(model_id=model, weight=weight, facts={"depthwise": True, "depth_decile": decile, "family": family})


def named(form: str, count: int, seed: int) -> Array:
    bank = templates((5, 5))
    row = bank.positive.index(form)
    kernels = bank.rows[row] + 0.05 * np.random.default_rng(seed).standard_normal((count, 25))
    return kernels.reshape(-1, 5, 5)


def first_layer(model: str, orientation: float, seed: int) -> Layer:
    """A first layer of three colors whose filters are Gabor functions of one orientation, and some of noise."""
    random = np.random.default_rng(seed)
    planted = plant_gabors(24, 5, 0.0, random)
    waves = gabor({**planted.parameters, "orientation": np.full(24, orientation)}, 5).reshape(-1, 1, 5, 5)
    colors = random.uniform(0.2, 1, (24, 3, 1, 1))
    weight = np.concatenate([waves * colors, 0.1 * random.standard_normal((8, 3, 5, 5)), np.zeros((1, 3, 5, 5))])
    return Layer(model_id=model, weight=weight.astype(np.float32), facts={"is_first": True, "depthwise": False})


@pytest.fixture(scope="module")
def result() -> Result:
    """Eight models: the first half of each has on-centers, the second noise; its first layer has vertical stripes."""
    layers = []
    for i in range(8):
        model = f"m{i}"
        noise = np.random.default_rng(100 + i).standard_normal((32, 5, 5))
        layers += [
            first_layer(model, 0.0, i),
            depthwise(np.concatenate([named("on-center", 32, i), noise]), model, 1, "ab"[i % 2]),
            depthwise(noise, model, 8, "ab"[i % 2]),
        ]
    return analyze(MemoryView(layers))


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_first_layer_without_a_live_filter_has_no_rows(value: float) -> None:
    dead = Layer(model_id="dead", weight=np.full((4, 3, 5, 5), value, np.float32), facts={"is_first": True})
    found = fit_first_layers(MemoryView([dead]))
    assert (len(found.layers), len(found.filters)) == (1, 0)


def test_planted_forms_have_their_shares_by_depth_and_family(result: Result) -> None:
    shares = {(row["column"], row["group"], row["form"]): row for row in rows(result, "form_shares")}
    overall = shares["all", "all", "on-center"]
    assert overall["share"] == pytest.approx(1 / 3, abs=0.01)
    assert overall["low"] <= 1 / 3 <= overall["high"]
    assert (overall["models"], overall["layers"], overall["kernels"], overall["sampled"]) == (8, 16, 8 * 96, 8 * 96)
    assert overall["verdict"] == "higher"
    assert shares["depth_decile", "1", "on-center"]["share"] == pytest.approx(0.5, abs=0.01)
    assert shares["depth_decile", "8", "on-center"]["share"] < 0.02
    assert shares["family", "b", "on-center"]["share"] == pytest.approx(1 / 3, abs=0.01)
    assert shares["family", "b", "on-center"]["low"] is None
    assert shares["depth_decile", "8", "noise-like"]["share"] == pytest.approx(0.95, abs=0.05)
    for column, group in {(column, group) for column, group, _ in shares}:
        of_group = [row for key, row in shares.items() if key[:2] == (column, group)]
        assert sum(row["share"] for row in of_group) == pytest.approx(1)
        assert sum(row["chance"] for row in of_group) == pytest.approx(1)


def test_orientation_of_first_layers(result: Result) -> None:
    cells = [row for row in rows(result, "first_layer_orientation") if row["angle"] == "orientation"]
    assert cells[0]["start"] < 0 < cells[0]["stop"]
    assert cells[0]["share"] > 0.95
    assert cells[0]["verdict"] == "higher"
    assert sum(cell["share"] for cell in cells) == pytest.approx(1)
    assert cells[0]["filters"] == 8 * 32
    phases = [row for row in rows(result, "first_layer_orientation") if row["angle"] == "phase"]
    assert (phases[0]["start"], phases[-1]["stop"]) == pytest.approx((-math.pi * 7 / 8, math.pi * 9 / 8))
    filters = rows(result, "first_layer_filters")
    assert filters[0]["filter_id"] == "m0#conv0.weight:0"
    planted = [row for row in filters if row["out_channel"] < 24]
    assert min(row["color_share"] for row in planted) > 0.999
    assert all(row["fits"] for row in planted)
    assert np.mean([row["fits"] for row in filters if row["out_channel"] >= 24]) < 0.1


def test_fits_of_sampled_kernels(result: Result) -> None:
    kernels = rows(result, "form_kernels")
    by_id = {row["kernel_id"]: row for row in kernels}
    assert len(by_id) == len(kernels)
    assert by_id["m0#conv1.weight:3:0"]["dog_sign"] == 1
    on_centers = [row for row in kernels if row["depth_decile"] == 1 and int(row["kernel_id"].split(":")[1]) < 32]
    assert np.mean([row["form"] == "difference of gaussians" for row in on_centers]) > 0.9
    assert np.mean([row["dog_sign"] for row in on_centers]) == 1
    noise = [row for row in kernels if row["depth_decile"] == 8]
    assert np.mean([row["form"] == "neither" for row in noise]) > 0.95
    fits = {(row["kernel"], row["form"]): row for row in rows(result, "form_fits")}
    # Of each model 64 kernels of the first layer, 32 on-centers and 64 of noise.
    assert fits["5x5", "difference of gaussians"]["share"] == pytest.approx(0.2, abs=0.03)
    assert fits["5x5", "gabor"]["share"] == pytest.approx(0.4, abs=0.03)


def test_findings_are_derived_from_rows_and_figures_can_be_drawn(result: Result) -> None:
    texts = [str(finding) for finding in result.findings]
    assert any("on-center with 33%" in text and "more frequent than by chance" in text for text in texts)
    assert any(text.startswith("The orientation of filters of first layers") and "near 0°" in text for text in texts)
    tables = {table.name: table.rows for table in result.tables}
    for finding in result.findings:
        assert not isinstance(finding, str)
        assert finding.table is not None
        assert all(row < len(tables[finding.table]) for row in finding.rows)
    for figure in result.figures:
        assert figure.table in tables
        canvas = Canvas()
        figure.draw(canvas)
        assert canvas.axes


def test_too_few_models_are_said_and_layers_without_files_are_no_error() -> None:
    layers = [first_layer("m", 0.0, 1), depthwise(-named("on-center", 20, 2), "m", 0)]
    texts = [str(finding) for finding in analyze(MemoryView(layers, stored=False)).findings]
    assert any("too few models to tell from chance" in text for text in texts)
    assert "First layers were not read: the file is missing." in texts


def test_the_same_seed_gives_the_same_tables() -> None:
    layers = [first_layer("m", 0.3, 1), depthwise(np.random.default_rng(1).standard_normal((40, 3, 3)), "m", 0)]
    first, second = (analyze(MemoryView(layers, seed=3)) for _ in range(2))
    assert [table.rows for table in first.tables] == [table.rows for table in second.tables]


def test_kernels_of_other_sizes_are_nothing_to_analyze() -> None:
    weight = np.ones((4, 4, 3, 3), np.float32)
    assert analyze(MemoryView([Layer(model_id="m", weight=weight, facts={"depthwise": False})])).note


def test_the_principal_color_kernel_is_that_of_the_filter() -> None:
    random = np.random.default_rng(5)
    kernels, colors = random.standard_normal((6, 5, 5)), random.uniform(0.1, 1, (6, 3))
    filters: NDArray[np.float64] = colors[:, :, None, None] * kernels[:, None]
    found = principal_color_kernels(filters)
    norms = np.linalg.norm(colors, axis=1)[:, None, None]
    np.testing.assert_allclose(found.kernels, kernels * norms, atol=1e-9)
    np.testing.assert_allclose(found.share, 1)
    mixed = principal_color_kernels(random.standard_normal((6, 3, 5, 5)))
    assert ((mixed.share > 1 / 3) & (mixed.share < 1)).all()


def test_intervals_of_shares_cover_the_mean_of_models() -> None:
    random = np.random.default_rng(6)
    for models, a, b in ((8, 2, 6), (20, 1, 4), (40, 1, 9)):
        covered = []
        for _ in range(400):
            low, high = mean_interval(random.beta(a, b, models)) or (1.0, 0.0)
            covered.append(low <= a / (a + b) <= high)
        assert 0.9 <= np.mean(covered) <= 0.985
    assert mean_interval(np.full(4, 0.5)) is None
