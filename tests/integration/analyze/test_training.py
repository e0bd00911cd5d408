"""Training runs by step: the analysis `training` on planted runs, and other analyses along their steps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from filtercrawl.api import CheckpointMetadata, TrainingRun
from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.api.errors import UsageError
from filtercrawl_analysis.analyses.registry import ANALYSES
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.plots.render import png
from filtercrawl_analysis.report.along_steps import AlongSteps, along_steps
from filtercrawl_analysis.run.analyze import analyze
from support.sketch_reference import dct, paper_scaled
from support.synthetic_datasets import SMOOTH, Net, analysed, kernels, plant, rows

# Shares of the way from the first to the last kernels.
WAY = {0: 0.0, 10: 0.05, 100: 0.5, 1000: 0.8, 2000: 1.0}
Weights = NDArray[np.float32]


def weights(share: float, seed: int = 0) -> torch.Tensor:
    """256 kernels on the way from white noise to smooth ones."""
    random = np.random.default_rng(seed)
    noise, smooth = kernels(random, {}, 256), kernels(random, SMOOTH, 256)
    return ((1 - share) * noise + share * smooth).reshape(16, 16, 3, 3)


def run_of(name: str, way: dict[int, float]) -> list[Net]:
    return [
        Net(
            name=f"{name}-{step}",
            state={"first.weight": weights(share), "frozen.weight": weights(1.0, seed=7)},
            meta=CheckpointMetadata(metrics={"accuracy": share}),
            run=TrainingRun(id=name, step=step, final=step == max(way)),
        )
        for step, share in way.items()
    ]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    still = [replace(net, state={"conv.weight": weights(0.3)}) for net in run_of("still", {1: 0.0, 2: 0.1})]
    alone = run_of("alone", {5: 0.2})
    nets = [*run_of("digits", WAY), *still, *alone]
    return plant(tmp_path_factory.mktemp("runs"), nets)


def histogram(weight: Weights) -> NDArray[np.float64]:
    """Counts of the coefficients of scaled kernels in 70 bins of [-3, 3], [9, 70]."""
    coefficients = paper_scaled(weight.reshape(-1, 9)) @ dct((3, 3)).T
    return np.array([np.histogram(column, 70, (-3, 3))[0] for column in coefficients.T], np.float64)


def divergence(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """KL(p, q) + KL(q, p) of each component, empty bins at the epsilon of float32 as a density."""
    p, q = (counts / counts.sum(1, keepdims=True) / (6 / 70) for counts in (a, b))
    p, q = (np.where(density == 0, np.finfo(np.float32).eps, density) for density in (p, q))
    p, q = (density / density.sum(1, keepdims=True) for density in (p, q))
    return ((p - q) * np.log(p / q)).sum(1)


def test_drift_and_components_are_those_of_the_formulas(planted: Path) -> None:
    found = [row for row in rows(analysed("training", planted), "training_layers") if row["layer"] == "first"]
    digits = [row for row in found if row["run_id"] == "digits"]
    stored = {step: weights(share).numpy() for step, share in WAY.items()}
    # The weights of the components are their shares of the variance of all layers of the size, each step once.
    view = FolderDatasetView(planted)
    every = [part for step in view.steps() for digest in step.dataset.index["layer_sha256"].to_pylist()
             for _, part in view.kernels([digest])]  # fmt: skip
    together = paper_scaled(np.concatenate(every)) @ dct((3, 3)).T
    shares = together.var(0) / together.var(0).sum()
    last = np.linalg.svd(_centred(stored[2000]), full_matrices=False)
    for row in digits:
        mine = stored[int(str(row["step"]))]
        for end, name in ((0, "drift_from_first"), (2000, "drift_from_last")):
            expected = divergence(histogram(mine), histogram(stored[end])) @ shares
            assert row[name] == pytest.approx(expected, rel=2e-3, abs=1e-9)
        _, values, vectors = np.linalg.svd(_centred(mine), full_matrices=False)
        assert row["explained_variance"] == pytest.approx(values[0] ** 2 / (values**2).sum(), rel=1e-3)
        assert row["component_cosine"] == pytest.approx(abs(vectors[0] @ last[2][0]), abs=2e-3)


def _centred(weight: Weights) -> NDArray[np.float64]:
    scaled = paper_scaled(weight.reshape(-1, 9))
    return scaled - scaled.mean(0)


def test_a_run_is_followed_from_its_first_to_its_last_step(planted: Path) -> None:
    result = analysed("training", planted)
    steps = [row for row in rows(result, "training_steps") if row["run_id"] == "digits"]
    assert [row["step"] for row in steps] == list(WAY)
    assert [row["value"] for row in steps] == list(WAY.values())
    first, last = (np.array([row[f"drift_from_{end}"] for row in steps]) for end in ("first", "last"))
    assert first[0] == last[-1] == 0
    assert (np.diff(first) > 0).all()
    assert (np.diff(last) < 0).all()
    frozen = [row for row in rows(result, "training_layers") if row["layer"] == "frozen"]
    assert {row["run_id"]: row["drift_from_first"] for row in frozen} == {"digits": 0}
    texts = [str(finding) for finding in result.findings]
    assert texts[0].startswith("Run digits, 5 steps from 0 to 2,000: the kernels drift by ")
    assert "the variance entropy falls from " in texts[1]
    assert "not more than two draws of one distribution" in texts[2]
    assert not any("alone" in text for text in texts)
    assert {figure.name for figure in result.figures} == {"training_1", "emerging_1", "training_2", "emerging_2"}
    assert all(png(figure).startswith(b"\x89PNG") for figure in result.figures)


def test_without_layers_files_the_numbers_are_the_same_and_there_is_no_picture(planted: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(planted, tmp_path / "copy")
    shutil.rmtree(copy / "data/layers")
    result, whole = analysed("training", copy), analysed("training", planted)
    assert {figure.name for figure in result.figures} == {"training_1", "training_2"}
    assert all(a.rows.equals(b.rows) for a, b in zip(result.tables, whole.tables, strict=True))


def test_a_dataset_without_runs_gives_a_note(tmp_path: Path) -> None:
    dataset = plant(tmp_path, run_of("alone", {5: 0.2}))
    assert "no training run has two or more checkpoints" in analysed("training", dataset).note
    assert (
        "no training run has two or more checkpoints"
        in AlongSteps(inner=ANALYSES[0]).run(FolderDatasetView(dataset)).note
    )


def test_steps_are_views_of_one_checkpoint_each(planted: Path) -> None:
    steps = FolderDatasetView(planted).steps()
    assert [(step.run_id, step.step) for step in steps] == [
        *(("digits", step) for step in WAY),
        ("still", 1),
        ("still", 2),
    ]
    for step in steps:
        view = step.dataset
        assert view.models["model_id"].to_pylist() == [step.model_id]
        assert set(view.index["model_id"].to_pylist()) == {step.model_id}
        assert view.steps() == ()
        assert view.with_view("effective").index["layer_id"].equals(view.index["layer_id"])
        digests = view.index["layer_sha256"].to_pylist()
        assert len(view.sketches(digests)) == len(digests)
        assert {digest for digest, _ in view.samples(digests)} == set(digests)


@pytest.mark.parametrize("name", ["degeneracy", "initialization", "census"])
def test_tables_along_steps_are_those_of_every_step(planted: Path, name: str) -> None:
    inner = next(analysis for analysis in ANALYSES if analysis.name == name)
    view = FolderDatasetView(planted, AnalysisOptions(by=("family",), resamples=20))
    found = {table.name: table.rows for table in AlongSteps(inner=inner).run(view).tables}
    for step in view.steps():
        for table in inner.run(step.dataset).tables:
            mine = found[table.name]
            there = [row for row in mine.to_pylist() if (row["run_id"], row["step"]) == (step.run_id, step.step)]
            own = [{"run_id": step.run_id, "step": step.step} | row for row in table.rows.to_pylist()]
            assert repr(there) == repr(own)  # NaN is not equal to itself


def test_the_command_runs_every_analysis_along_the_steps(planted: Path) -> None:
    report = analyze(planted, only=["census", "training"], by=["family"], along="step")
    assert not report.left_out
    census = report.tables["census"]
    assert census.column_names[:2] == ["run_id", "step"]
    assert set(zip(census["run_id"].to_pylist(), census["step"].to_pylist(), strict=True)) == {
        *(("digits", step) for step in WAY), ("still", 1), ("still", 2)
    }  # fmt: skip
    assert "training_steps" in report.tables
    page = report.page.read_text("utf-8")
    assert "every step of the training runs" in page
    assert "final checkpoints" not in page
    assert f"{len(WAY) + 2} checkpoints of training runs" in page
    n_steps = len(WAY) + 2
    assert report.sample_size.models == n_steps
    assert report.sample_size.kernels == sum(
        sum(step.dataset.index["n_kernels"].to_pylist()) for step in FolderDatasetView(planted).steps()
    )
    (alone,) = [
        table for table in analysed("training", planted, by=("family",)).tables if table.name == "training_steps"
    ]
    assert report.tables["training_steps"].equals(alone.rows)
    with pytest.raises(UsageError, match="there is 'step'"):
        analyze(planted, along="epoch")


def test_numbers_of_layers_are_drawn_by_step(planted: Path) -> None:
    inner = next(analysis for analysis in ANALYSES if analysis.name == "degeneracy")
    result = AlongSteps(inner=inner).run(FolderDatasetView(planted, AnalysisOptions(resamples=20)))
    (figure,) = result.figures
    assert (figure.name, figure.table) == ("steps_layer_quality", "layer_quality")
    assert png(figure).startswith(b"\x89PNG")
    assert all("Each step is analyzed by itself" in table.about for table in result.tables)


def test_a_plugin_may_compare_steps_itself() -> None:
    chosen = along_steps(ANALYSES)
    assert [analysis.name for analysis in chosen] == [analysis.name for analysis in ANALYSES]
    assert [isinstance(analysis, AlongSteps) for analysis in chosen] == [not a.by_step for a in ANALYSES]


def test_tables_of_other_columns_at_some_steps_are_joined(planted: Path) -> None:
    class Odd:
        name, title = "odd", "Odd"

        def run(self, dataset):  # type: ignore[no-untyped-def]  # a plugin without types
            from filtercrawl.api.analysis import Result, ResultTable

            step = dataset.index["step"][0].as_py()
            columns = {"step": [step], "even": [True]} if step % 2 == 0 else {"odd": [1]}
            return Result(tables=(ResultTable(name="odd", title="Odd", rows=pa.table(columns)),))

    (table,) = AlongSteps(inner=Odd()).run(FolderDatasetView(planted)).tables
    assert table.rows.column_names == ["run_id", "step", "even", "odd"]
    assert table.rows.to_pylist()[-2] == {"run_id": "still", "step": 1, "even": None, "odd": 1}


def test_a_table_that_is_larger_than_what_is_kept_has_the_rows_of_all_steps(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = analyze(planted, only=["filters"], along="step", progress=False).tables["filters"]
    stored = pq.read_table(planted / "analysis/tables/filters.parquet")
    assert stored.column_names[:2] == ["run_id", "step"]
    assert set(zip(stored["run_id"].to_pylist(), stored["step"].to_pylist(), strict=True)) == {
        *(("digits", step) for step in WAY),
        ("still", 1),
        ("still", 2),
    }
    assert whole == stored.replace_schema_metadata(None).slice(0, len(whole))
    monkeypatch.setattr("filtercrawl_analysis.analyses.filters._ROWS_IN_MEMORY", 8)
    report = analyze(planted, only=["filters"], along="step", progress=False)
    assert report.left_out == {}
    assert pq.read_table(planted / "analysis/tables/filters.parquet") == stored
    assert len(report.tables["filters"]) == 8
