"""The definitions of CNN Filter DB, against a second writing of them in float64 and against what was published."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Sync
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.numerics.dct_basis import BINS, dct_basis
from filtercrawl_analysis.statistics.drift.divergence import pairwise_drift, probabilities
from filtercrawl_analysis.statistics.quality.paper_thresholds import degenerate, randomness_threshold
from support import cnn_filter_db_reference as paper
from support.synthetic_datasets import EDGES, SMOOTH, analysed, net, plant, rows
from support.zoo_files import layers, models, table

# Largest entropy of nine variances; the paper quotes it.
TOP = 0.95424


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets = [net(f"s{i}", SMOOTH, i, task="classification", family="A" if i < 2 else "B") for i in range(3)]
    nets += [net(f"e{i}", EDGES, 10 + i, task="detection", family="B") for i in range(3)]
    nets += [net("n0", {}, 20, task="segmentation")]
    return plant(tmp_path_factory.mktemp("paper"), nets)


def groups(dataset: Path, column: str) -> dict[str, list[np.ndarray]]:
    known = models(dataset)
    found: dict[str, list[np.ndarray]] = {}
    for layer_id, weight in layers(dataset).items():
        label = known[layer_id.partition("#")[0]][column]
        if label is not None:
            found.setdefault(label, []).append(weight.reshape(-1, 9))
    return found


@pytest.mark.parametrize("column", ["task", "family"])
def test_exact_drift_is_that_of_the_definition(planted: Path, column: str) -> None:
    """One PCA and one range of all kernels, those without a label in `column` too: here, every net has a task."""
    result = analysed("drift", planted, by=("task", "family"), exact=True, resamples=0)
    everything = [weight.reshape(-1, 9) for weight in layers(planted).values()]
    data = {name: paper.scaled(np.concatenate(parts)) for name, parts in groups(planted, column).items()}
    mean, components, ratios = paper.pca(paper.scaled(np.concatenate(everything)))
    whole = (paper.scaled(np.concatenate(everything)) - mean) @ components.T
    p = {
        name: paper.histograms((kernels - mean) @ components.T, whole.min(), whole.max())
        for name, kernels in data.items()
    }
    found = rows(result, f"drift_{column}")
    assert len(found) == len(p) * (len(p) - 1) / 2
    for row in found:
        expected = paper.drift(p[str(row["group_a"])], p[str(row["group_b"])], ratios)
        assert row["drift"] == pytest.approx(expected, abs=1e-5)
        assert row["mode"] == "exact"
    used = [row for row in rows(result, "drift_basis") if row["kernel"] == "3x3"]
    assert [row["low"] for row in used] == [pytest.approx(whole.min(), abs=1e-5)] * 9
    assert [row["high"] for row in used] == [pytest.approx(whole.max(), abs=1e-5)] * 9
    assert [row["weight"] for row in used] == pytest.approx(ratios.tolist(), abs=1e-6)


def test_sketch_drift_is_that_of_the_definition_in_the_fixed_basis_and_range(planted: Path) -> None:
    result = analysed("drift", planted, by=("task",), resamples=0)
    everything = paper.scaled(np.concatenate([weight.reshape(-1, 9) for weight in layers(planted).values()]))
    fixed = dct_basis((3, 3))
    along = ((everything - everything.mean(0)) @ fixed.T).var(0)
    p = {
        name: paper.histograms(paper.scaled(np.concatenate(parts)) @ fixed.T, -3, 3)
        for name, parts in groups(planted, "task").items()
    }
    for row in rows(result, "drift_task"):
        expected = paper.drift(p[str(row["group_a"])], p[str(row["group_b"])], along / along.sum())
        # Coefficients on an edge of a bin may be counted on its other side.
        assert row["drift"] == pytest.approx(expected, rel=2e-3)
        assert row["mode"] == "sketch"


def test_analyses_that_do_not_say_that_they_read_kernels_read_none(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sealed(FolderDatasetView):
        def kernels(self, layers: object) -> object:  # type: ignore[override]
            raise AssertionError("kernels are read")

    from filtercrawl_analysis.analyses.registry import ANALYSES

    sealed = [analysis for analysis in ANALYSES if not analysis.reads_kernels]
    assert {"census", "degeneracy", "drift", "eigenkernels", "initialization", "shape"} <= {a.name for a in sealed}
    for analysis in sealed:
        result = analysis.run(Sealed(planted))
        assert result.tables or result.note.startswith("Nothing to analyze: ")


def test_principal_components_are_those_of_the_definition(planted: Path) -> None:
    everything = paper.scaled(np.concatenate([weight.reshape(-1, 9) for weight in layers(planted).values()]))
    mean, components, ratios = paper.pca(everything)
    found = [row for row in rows(analysed("eigenkernels", planted), "eigenkernels") if row["kernel"] == "3x3"]
    assert [row["explained_variance"] for row in found] == pytest.approx(ratios.tolist(), abs=1e-9)
    assert found[0]["mean"] == pytest.approx(mean.tolist(), abs=1e-9)
    for row, component in zip(found, components, strict=True):
        assert abs(np.dot(row["vector"], component)) == pytest.approx(1, abs=1e-6)  # type: ignore[arg-type]
    assert {row["kernels"] for row in found} == {len(everything)}


def test_group_components_are_those_of_the_group_alone(planted: Path) -> None:
    result = analysed("eigenkernels", planted, by=("task",))
    for name, parts in groups(planted, "task").items():
        _, _, ratios = paper.pca(paper.scaled(np.concatenate(parts)))
        found = [row for row in rows(result, "explained_variance") if row["group"] == name and row["column"] == "task"]
        assert [row["explained_variance"] for row in found] == pytest.approx(ratios.tolist(), abs=1e-9)


def test_entropy_sparsity_and_thresholds_of_every_layer(planted: Path) -> None:
    stored = layers(planted)
    for row in rows(analysed("degeneracy", planted), "layer_quality"):
        weight = stored[str(row["layer_id"])].reshape(-1, 9)
        assert row["variance_entropy"] == pytest.approx(paper.entropy(weight), abs=1e-6)
        dead = np.abs(weight).max(1) < np.abs(weight).max() / np.float32(100)
        assert row["sparsity"] == dead.mean()
        assert row["randomness_threshold"] == pytest.approx(paper.threshold(len(weight)), abs=1e-12)
        flagged = paper.entropy(weight) >= paper.threshold(len(weight)) - 0.02
        assert row["degenerate"] == flagged


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), min_size=BINS, max_size=BINS).filter(any), min_size=4, max_size=4),
    st.floats(0.01, 0.99),
)
def test_drift_is_a_divergence(counts: list[list[int]], share: float) -> None:
    p = probabilities(np.array(counts, np.int64).reshape(2, 2, BINS), 6 / BINS)
    ratios = np.array([share, 1 - share])
    found = pairwise_drift(p, p, ratios)
    assert found[0, 1] == pytest.approx(paper.drift(p[0], p[1], ratios), rel=1e-9, abs=1e-9)
    assert np.allclose(found, found.T, rtol=1e-12, atol=1e-12)
    assert found[0, 0] == pytest.approx(0, abs=1e-9)
    assert (found >= 0).all()


def test_probabilities_of_empty_bins_are_the_epsilon_in_units_of_density() -> None:
    counts = np.zeros((1, BINS))
    counts[0, 3], counts[0, 4] = 3, 1
    width = 0.5
    p = probabilities(counts, width)[0]
    density = np.full(BINS, np.finfo(np.float32).eps, np.float64)
    density[3], density[4] = 1.5, 0.5
    assert p.tolist() == pytest.approx((density / density.sum()).tolist(), rel=1e-12)


def test_published_numbers_of_the_thresholds() -> None:
    """T_H rises to L + b = 0.95130, just below the largest entropy of nine variances."""
    assert math.log10(9) == pytest.approx(TOP, abs=5e-6)
    limit = randomness_threshold(2**60, 9)
    assert limit is not None
    assert limit == pytest.approx(0.9512963, abs=1e-6)
    assert limit < TOP
    values = [randomness_threshold(n, 9) for n in (4, 16, 64, 1024, 2**20)]
    assert values == sorted(values)  # type: ignore[type-var]
    # resnet18 of torchvision as the authors' library measures it: neither layer is degenerate.
    assert degenerate(0.82438, 0.125244, 64 * 64, 9) is False
    assert degenerate(0.21929, 0.0017967, 512 * 512, 9) is False
    # The supplement's second rule: little variance and many dead kernels.
    assert degenerate(0.21929, 0.14, 512 * 512, 9) is True
    assert degenerate(0.95, 0.0, 512 * 512, 9) is True


def test_depth_deciles_are_the_groups_of_the_index(tmp_path: Path) -> None:
    pytest.importorskip("speechmos")
    from conftest import NOW
    from filtercrawl.api.plugin_manager import load_plugins
    from filtercrawl.config import Settings
    from filtercrawl.pipeline.sync import SyncContext, sync

    folder = tmp_path / "dataset"
    sync(
        ["packages:speechmos"],
        SyncContext(
            settings=Settings(dataset=folder, device="cpu", engine="threads", jobs=1), plugins=load_plugins(), now=NOW
        ),
    )
    index = [row for row in table(folder, "index") if row["kernel"] == "3x3" and row["depth_decile"] is not None]
    for row in index:
        decile = max(0, math.ceil(round(row["conv_depth_norm"] * 10, 9)) - 1)
        assert row["depth_decile"] == decile
    result = analysed("drift", folder, by=("depth_decile",), resamples=20)
    found = {str(row["group"]) for row in rows(result, "drift_groups") if row["column"] == "depth_decile"}
    assert found >= {str(row["depth_decile"]) for row in index}
    positions = {str(row["group"]) for row in rows(result, "drift_groups") if row["column"] == "position"}
    assert positions <= {"first", "between", "last"}
    assert positions


@pytest.mark.exhaustive
def test_real_networks_drift_as_the_definition_says(corpus: Path, run_sync: Sync, dataset: Path) -> None:
    run_sync(f"local:{corpus}/files")
    view = FolderDatasetView(dataset)
    index = [row for row in view.index.to_pylist() if row["kernel"] == "3x3"]
    stored = layers(dataset)
    parts: dict[str, list[np.ndarray]] = {}
    for row in index:
        parts.setdefault(row["model_format"], []).append(stored[row["layer_id"]].reshape(-1, 9))
    # Thousands of kernels of zeros lie on an edge, half way between the extremes, which kernels of equal weights make:
    # on which side is rounding. So the definition is asked with its edges a rounding to either side.
    expected = [paper.drifts(parts, nudge) for nudge in (-2e-7, 0, 2e-7)]
    found = rows(analysed("drift", dataset, by=("format",), exact=True, resamples=0), "drift_format")
    checked = [row for row in found if row["kernel"] == "3x3"]
    assert len(checked) == len(parts) * (len(parts) - 1) / 2
    for row in checked:
        defined = [found[str(row["group_a"]), str(row["group_b"])] for found in expected]
        assert min(defined) - 1e-5 <= float(row["drift"]) <= max(defined) + 1e-5  # type: ignore[arg-type]
