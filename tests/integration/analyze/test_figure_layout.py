"""Figures of any groups, looked at as drawn: nothing overlaps, is cut off, or is too small for a phone."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl_analysis.plots.accuracy import accuracy_scatters, correlation_intervals
from filtercrawl_analysis.plots.census import stacked_bars
from filtercrawl_analysis.plots.drift import intervals
from filtercrawl_analysis.plots.heat_map import drift_matrix, heat_map, heat_map_height
from filtercrawl_analysis.plots.published import (
    drift_scatters,
    entropy_over_sparsity,
    explained_variance_bars,
    models_to_name,
)
from filtercrawl_analysis.plots.quality import PAPER_CURVE, RANDOM_CURVE, depth_profiles, entropy_scatter
from filtercrawl_analysis.plots.render import laid_out
from filtercrawl_analysis.plots.spectra import decay_curves, depth_lines
from filtercrawl_analysis.plots.training import kernels_by_step, training_curves
from support.figure_layout import figure_of, layout_problems

NAMES = {
    "plain": [f"group {i}" for i in range(60)],
    "long": [f"organization-{i}/a-model-with-a-very-long-name-{i}-that-never-ends-{i % 7}" for i in range(60)],
    "emoji": [f"🚀 rocket 🤗{i}" for i in range(60)],
    "right to left": [f"שלום עולם {i} مرحبا" for i in range(60)],
    "equal ends": [f"{'x' * 30}{i}{'y' * 30}" for i in range(60)],
}


@pytest.mark.parametrize(
    ("count", "names"), [(1, "plain"), (2, "right to left"), (8, "emoji"), (18, "long"), (60, "equal ends")]
)
def test_heat_maps_fit(names: str, count: int) -> None:
    drift = np.abs(np.subtract.outer(np.arange(count), np.arange(count))) / 7.0
    given = drift_matrix(NAMES[names][:count], [i + 1 for i in range(count)], drift, {})
    figure = figure_of(partial(heat_map, matrix=given, column="training dataset"), heat_map_height(count))
    assert layout_problems(figure) == []


def published_rows(count: int, known: bool = True) -> list[dict[str, object]]:
    return [
        {
            "component": i,
            "published": 0.4 / (i + 1),
            "tolerance": 0.005,
            "ours": 0.3 / (i + 1),
            "ours_floor": 0.0,
            "low": 0.2 / (i + 1) if known else None,
            "high": 0.5 / (i + 1) if known else None,
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("known", [True, False])
def test_published_values_fit_and_are_marks(known: bool) -> None:
    figure = figure_of(partial(explained_variance_bars, rows=published_rows(9, known)), 3.4)
    assert layout_problems(figure) == []
    with laid_out(figure) as canvas:
        (marks,) = (line for line in canvas.axes[0].lines if line.get_marker() == "D")
        assert marks.get_ydata()[0] == pytest.approx(0.4)
        assert len(canvas.axes[0].lines) == 1 + 9 * known


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_published_drifts_fit(panels: int) -> None:
    given = [(name, published_rows(45)) for name in ("depth decile", "visual category", "task")[:panels]]
    assert layout_problems(figure_of(partial(drift_scatters, panels=given), 1.6 + 4.2 / panels)) == []


@pytest.mark.parametrize("models", [0, 1, 400])
def test_models_of_any_families_fit(models: int) -> None:
    rows = [
        {
            "model_id": NAMES["long"][i % 60],
            "family": NAMES["long"][i % 9] if i % 2 else None,
            "sparsity": i / 400,
            "variance_entropy": i / 500,
        }
        for i in range(models)
    ]
    draw = partial(entropy_over_sparsity, rows=rows, sparsity=0.14, entropy=0.5, top=0.95)
    assert layout_problems(figure_of(draw, 5.6)) == []


def test_models_far_from_the_others_are_named_and_those_beside_them_are_not() -> None:
    crowd = [{"model_id": f"crowd {i}", "sparsity": 0.01 * (i % 3), "variance_entropy": 0.8} for i in range(30)]
    far = [("sparse", 0.9, 0.8), ("beside it", 0.89, 0.8), ("low", 0.0, 0.2)]
    rows = crowd + [{"model_id": name, "sparsity": x, "variance_entropy": y} for name, x, y in far]
    assert [row["model_id"] for row in models_to_name(rows, (1.0, 1.0))] == ["sparse", "low"]
    assert models_to_name(crowd, (1.0, 1.0)) == []
    assert models_to_name([], (1.0, 1.0)) == []


@pytest.mark.parametrize(("groups", "names"), [(1, "emoji"), (20, "long"), (20, "right to left")])
def test_bars_of_any_groups_fit(groups: int, names: str) -> None:
    counts = np.arange(7 * groups).reshape(7, groups) * 1000.0
    sizes = ["3x3", "1x1", "5x5", "3 taps (1-D)", "3x3x3", "7x7", "other"]
    draw = partial(stacked_bars, counts=counts, sizes=sizes, groups=NAMES[names][:groups])
    assert layout_problems(figure_of(draw, 1.4 + 0.28 * groups)) == []


@pytest.mark.parametrize("layers", [1, 500])
def test_layers_of_all_verdicts_fit(layers: int) -> None:
    verdicts = ["ok", "random", "outliers", "repeated", "near copies", "dead", "too small", None]
    kernels = np.geomspace(1, 1e6, layers)
    curves = {RANDOM_CURVE: (kernels, kernels / kernels.max()), PAPER_CURVE: (kernels, kernels / kernels.max())}
    draw = partial(
        entropy_scatter,
        kernels=kernels,
        entropy=np.linspace(0, 0.95, layers),
        verdicts=[verdicts[i % 8] for i in range(layers)],
        curves=curves,
        top=0.95,
    )
    assert layout_problems(figure_of(draw, 5.0)) == []


def test_profiles_over_depth_fit() -> None:
    row = {f"variance_entropy_norm_{q}": 0.5 for q in ("q1", "median", "q3")}
    rows = [row | {"group": str(decile)} for decile in range(10)]
    draw = partial(depth_profiles, rows=rows, numbers=["variance_entropy_norm"] * 3)
    assert layout_problems(figure_of(draw, 6.0)) == []


def test_estimates_of_drift_of_long_names_fit() -> None:
    pairs = [
        {"group_a": a, "group_b": b, "drift": 0.3, "floor": 0.1, "estimate": 0.2, "low": 0.0, "high": 1.5, "verdict": v}
        for a, b, v in zip(
            NAMES["long"][:20], NAMES["emoji"][:20], ["differs", "no difference found"] * 10, strict=True
        )
    ]
    assert layout_problems(figure_of(partial(intervals, pairs=pairs), 1.5 + 0.26 * 20)) == []


def test_runs_of_any_length_fit() -> None:
    numbers = ("drift_from_first", "drift_from_last", "floor", "variance_entropy_norm", "explained_variance")
    row: dict[str, object] = dict.fromkeys((*numbers, "component_cosine", "sparsity", "weight_rms"), 0.5)
    row |= {"layer": "conv", "kernel": "3x3", "metric": "imagenet 1k top-1 accuracy in percent", "value": 71.5}
    steps = [row | {"step": step} for step in (0, 1, 10, 1000, 250_000)]
    assert layout_problems(figure_of(partial(training_curves, steps=steps, layers=steps), 7.0)) == []
    kernels = np.random.default_rng(0).normal(size=(8, 10, 9))
    many = [10**i for i in range(1, 11)]
    draw = partial(kernels_by_step, kernels=kernels, kernel_size=(3, 3), steps=many)
    assert layout_problems(figure_of(draw, 5.0)) == []


def test_correlations_with_accuracy_fit() -> None:
    measures = ["sparsity", "variance_entropy", "orthogonality", "weight_rms", "weight_peak", "family_drift"]
    correlated = [
        {"measure": m, "scope": s, "rho": 0.3, "low": -0.2, "high": 0.7, "verdict": "rises"}
        for m in measures
        for s in ("all models", "within families")
    ]
    figure = figure_of(partial(correlation_intervals, rows=correlated), 1.4 + 0.45 * len(measures))
    assert layout_problems(figure) == []
    models = [
        {"family": NAMES["long"][i % 9], "metric": "imagenet 1k top-1 accuracy", "value": 70 + i}
        | dict.fromkeys(measures, i * 1e-3)
        for i in range(30)
    ]
    draw = partial(accuracy_scatters, models=models, measures=measures)
    assert layout_problems(figure_of(draw, 0.9 + 2.3 * 3)) == []


def test_spectra_fit() -> None:
    layers = pa.table(
        {
            "conv_depth_norm": np.linspace(0, 1, 40),
            "alpha": np.geomspace(0.5, 900, 40),
            "alpha_random": np.geomspace(1, 500, 40),
            "depth_decile": np.minimum(np.arange(40) // 4, 9),
            "model_id": ["m"] * 40,
        }
    )
    draw = partial(
        depth_lines, layers=layers, column="alpha", reference="alpha_random", axis="exponent alpha of the tail"
    )
    assert layout_problems(figure_of(draw)) == []
    curve = {"q1": 0.1, "median": 0.2, "q3": 0.4, "random_weights": 0.5, "layers": 123_456}
    rows = [
        curve | {"depth": depth, "relative_index": i / 4}
        for depth in ("all", "first third", "second third", "last third")
        for i in range(5)
    ]
    assert layout_problems(figure_of(partial(decay_curves, rows=rows))) == []
