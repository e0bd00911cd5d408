"""Datasets with something planted in them: networks whose kernels are drawn from known laws, labelled by a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import NOW
from filtercrawl.api import CheckpointMetadata, TrainingRun
from filtercrawl.api.analysis import AnalysisOptions, Result
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from filtercrawl_analysis.analyses.registry import ANALYSES
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from support.plugins import BUNDLED, checkpoint, source
from support.zoo_files import State, put

Rows = list[dict[str, object]]


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network to be offered: its name, tensors, what its source says of it, and its training run."""

    name: str
    state: State
    meta: CheckpointMetadata = field(default_factory=CheckpointMetadata)
    run: TrainingRun | None = None


def plant(folder: Path, nets: Iterable[Net], **settings: object) -> Path:
    """Sync networks from a source of their own into `folder/dataset`; returns that."""
    offers = []
    for net in nets:
        file = put(folder / f"zoo/{net.name}.safetensors", net.state)
        offers.append(replace(checkpoint(net.name, file.as_uri()), meta=net.meta, run=net.run))
    with pytest.MonkeyPatch.context() as patch:
        plugins = load_plugins([*BUNDLED, source(patch, "acme", lambda: iter(offers))])
        chosen = Settings(**{"dataset": folder / "dataset", "device": "cpu", "jobs": 1, **settings})  # type: ignore[arg-type]
        report: SyncReport = sync(("acme",), SyncContext(settings=chosen, plugins=plugins, now=NOW))
    assert report.failures == {}
    return folder / "dataset"


def analysed(name: str, dataset: Path, **options: object) -> Result:
    """Run one bundled analysis over a dataset."""
    analysis = next(analysis for analysis in ANALYSES if analysis.name == name)
    return analysis.run(FolderDatasetView(dataset, AnalysisOptions(**options)))  # type: ignore[arg-type]


def rows(result: Result, table: str) -> Rows:
    found: Rows = next(item for item in result.tables if item.name == table).rows.to_pylist()
    return found


def kernels(random: np.random.Generator, spectrum: Mapping[int, float], n: int, size: int = 3) -> torch.Tensor:
    """Draw n kernels [n, size, size]: white noise of deviation 0.1 and, along some cosines, more.

    spectrum: which row of the flat basis of separable cosines, row-major, has which deviation beside it.
    """
    tap = np.arange(size)
    axis = np.cos(np.pi * (2 * tap[None] + 1) * tap[:, None] / (2 * size))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    dense = np.kron(axis, axis)
    drawn = 0.1 * random.standard_normal((n, size * size))
    for row, deviation in spectrum.items():
        drawn += deviation * random.standard_normal((n, 1)) * dense[row]
    return torch.from_numpy(drawn.reshape(n, size, size).astype(np.float32))


# What two architectures have: smooth kernels, and vertical edges.
SMOOTH: Mapping[int, float] = {0: 1.0, 1: 0.3, 3: 0.3}
EDGES: Mapping[int, float] = {1: 1.0, 0: 0.3, 4: 0.3}


def net(name: str, spectrum: Mapping[int, float], seed: int, spread: float = 0.1, layers: int = 2, **meta: str) -> Net:
    """A network of 3x3 layers of 256 kernels; from one to another, spectra differ by factors of about 1 + `spread`."""
    random = np.random.default_rng(seed)
    mine = {row: deviation * float(np.exp(spread * random.standard_normal())) for row, deviation in spectrum.items()}
    state = {f"conv{i}.weight": kernels(random, mine, 256).reshape(16, 16, 3, 3) for i in range(layers)}
    return Net(name=name, state=state, meta=CheckpointMetadata(**meta))  # type: ignore[arg-type]
