"""The analysis `form` on a synced dataset: its kernels are those of the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from support.planted_forms import plant_gabors
from support.synthetic_datasets import Net, analysed, plant, rows


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets = []
    for seed in range(2):
        kernels = plant_gabors(96, 7, 0.1, np.random.default_rng(seed)).kernels.astype(np.float32)
        nets.append(Net(name=f"net{seed}", state={"conv.weight": torch.from_numpy(kernels).reshape(12, 8, 7, 7)}))
    return plant(tmp_path_factory.mktemp("form"), nets)


def test_fitted_kernels_have_the_ids_and_weights_of_the_samples(dataset: Path) -> None:
    fitted = rows(analysed("form", dataset), "form_kernels")
    sampled = {row["kernel_id"]: row["values"] for row in DatasetFolder(dataset).table("samples").to_pylist()}
    assert {row["kernel_id"]: row["values"] for row in fitted} == sampled
    assert len(sampled) == 128
    assert np.mean([row["form"] == "gabor" for row in fitted]) > 0.95


def test_of_many_kernels_some_of_each_layer_are_fitted(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {row["kernel_id"]: row["gabor_r2"] for row in rows(analysed("form", dataset), "form_kernels")}
    monkeypatch.setattr("filtercrawl_analysis.statistics.form.fitted_kernels.MAX_KERNELS", 30)
    some = rows(analysed("form", dataset), "form_kernels")
    assert [row["model_id"] for row in some] == ["acme/net0"] * 15 + ["acme/net1"] * 15
    assert all(everything[row["kernel_id"]] == pytest.approx(row["gabor_r2"], rel=1e-5) for row in some)
