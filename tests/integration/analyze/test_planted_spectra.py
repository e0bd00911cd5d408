"""Networks of layers of few directions and of random ones: the tables and findings of `spectra`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from filtercrawl.api.analysis import Finding, Result
from filtercrawl_analysis import layer_spectrum
from filtercrawl_analysis.report.result_validation import validate_result
from support.synthetic_datasets import Net, analysed, plant, rows

LAYERS = 4


def weight(random: np.random.Generator, planted: float) -> torch.Tensor:
    noise = random.standard_normal((16, 16, 3, 3))
    spike = random.standard_normal((16, 1, 3, 3)) * random.standard_normal((1, 16, 1, 1))
    return torch.from_numpy((0.1 * (noise + planted * spike)).astype(np.float32))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(4)
    nets = [
        Net(name=f"{kind}{i}", state={f"l{j}.weight": weight(random, planted) for j in range(LAYERS)})
        for kind, planted in (("trained", 2.0), ("random", 0.0))
        for i in range(6)
    ]
    nets[0].state["nothing.weight"] = torch.zeros(8, 8, 3, 3)
    nets[0].state["small.weight"] = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    return plant(tmp_path_factory.mktemp("spectra"), nets)


@pytest.fixture(scope="module")
def result(dataset: Path) -> Result:
    return analysed("spectra", dataset)


def test_models_of_few_directions_are_told_from_random_ones(result: Result) -> None:
    found = {str(row["model_id"]).removeprefix("acme/"): row["alpha_verdict"] for row in rows(result, "model_spectra")}
    assert found == {f"trained{i}": "lower" for i in range(6)} | {f"random{i}": "not told apart" for i in range(6)}


def test_rows_are_the_spectra_of_the_weights(result: Result, dataset: Path) -> None:
    found = {row["layer_id"]: row for row in rows(result, "layer_spectra")}
    stored = load_file(dataset.parent / "zoo/trained3.safetensors")
    for name, tensor in stored.items():
        row = found[f"acme/trained3#{name}"]
        spectrum = layer_spectrum(tensor, row["groups"])  # type: ignore[arg-type]
        assert spectrum is not None
        assert spectrum.taps.power_law is not None
        assert row["alpha"] == spectrum.taps.power_law.alpha
        assert row["n_eigenvalues"] == 9 * 16
        if spectrum.matrix is not None:
            assert row["spectral_norm"] == spectrum.matrix.spectral_norm


def test_what_cannot_be_measured_is_null(result: Result) -> None:
    found = {row["layer_id"]: row for row in rows(result, "layer_spectra")}
    zeros, small = (found[f"acme/trained0#{name}.weight"] for name in ("nothing", "small"))
    assert zeros["n_eigenvalues"] is None
    assert (small["n_eigenvalues"], small["alpha"], small["alpha_verdict"], small["mp_soft_rank"]) == (4, *3 * (None,))


def test_the_number_of_threads_does_not_matter(result: Result, dataset: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        again = analysed("spectra", dataset)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert [table.rows for table in again.tables] == [table.rows for table in result.tables]


def test_findings_are_derived_from_their_rows(result: Result) -> None:
    assert validate_result(result, set()) is None
    models = rows(result, "model_spectra")
    first, second, *_ = [finding for finding in result.findings if isinstance(finding, Finding)]
    lower, fitted = (sum(int(str(row[name])) for row in models) for name in ("alpha_lower", "alpha_fitted"))
    assert f"{lower:,} of {fitted:,} layers" in first.text
    assert "6 of 12 models have more of them than chance" in first.text
    assert all(models[row]["alpha_verdict"] == "lower" for row in first.rows)
    assert "Not told apart from random layers by alpha: acme/random" in second.text
    assert all(models[row]["alpha_verdict"] == "not told apart" for row in second.rows)
