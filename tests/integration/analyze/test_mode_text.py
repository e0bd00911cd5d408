"""The page says which results are from kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl.dataset.tables.export import export
from filtercrawl_analysis.analyses.registry import ANALYSES, LazyAnalysis
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.data.stored_layers import Kernels, StoredLayers
from filtercrawl_analysis.report.html import mode_text
from support.dataset_rows import MemoryRows


def run(name: str, *, reads_kernels: bool, tables: int = 1) -> dict[str, Any]:
    return {"name": name, "reads_kernels": reads_kernels, "tables": [{}] * tables}


def test_analyses_that_read_kernels_are_named() -> None:
    drift, form = run("drift", reads_kernels=False), run("form", reads_kernels=True)
    empty, spectra = run("filters", reads_kernels=True, tables=0), run("spectra", reads_kernels=True)
    assert mode_text([drift], exact=False) == "from sketches"
    assert mode_text([drift, form, empty, spectra], exact=False) == "from sketches; from kernels: form, spectra"
    assert mode_text([drift, form], exact=True) == "exact, from the kernels"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints with known first layers, of which one was made from the other."""
    path = tmp_path_factory.mktemp("kernels")
    rows = MemoryRows(path)
    layers = (("stem", (4, 3, 7, 7), 1), ("body", (6, 4, 3, 3), 1), ("dw", (16, 1, 3, 3), 16))
    for name in ("local/a.pt", "local/b.pt"):
        rows.add(name, layers)
    for row in rows.index_rows:
        row["is_first"] = row["layer"] == "stem"
    export(path, rows)
    return path


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda analysis: analysis.name)
def test_the_bundled_analyses_say_whether_they_read_kernels(
    analysis: LazyAnalysis, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = StoredLayers.kernels

    def counted(self: StoredLayers, layers: Sequence[str]) -> Iterator[Kernels]:
        read.extend(layers)
        return original(self, layers)

    monkeypatch.setattr(StoredLayers, "kernels", counted)
    analysis.run(FolderDatasetView(folder, AnalysisOptions(resamples=20)))
    # The training analysis reads kernels of runs of several steps, of which there is none here.
    assert bool(read) == (analysis.reads_kernels and analysis.name != "training")
