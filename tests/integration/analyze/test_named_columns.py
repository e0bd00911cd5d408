"""Columns that users name, keys of `models.extra`: their names may have any characters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from filtercrawl_analysis.report.result_validation import validate_result
from support.synthetic_datasets import EDGES, SMOOTH, Net, analysed, net, plant

BY = ("Weight Decay", "weight decay", "größe", "n" * 90)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets: list[Net] = []
    for i in range(6):
        made = net(f"n{i}", SMOOTH if i < 3 else EDGES, i)
        nets.append(replace(made, meta=replace(made.meta, extra=dict.fromkeys(BY, "low" if i < 3 else "high"))))
    return plant(tmp_path_factory.mktemp("named"), nets)


@pytest.mark.parametrize("analysis", ["drift", "eigenkernels", "census", "degeneracy", "influence"])
def test_tables_and_figures_of_any_column_have_names_that_can_be_written(dataset: Path, analysis: str) -> None:
    result = analysed(analysis, dataset, by=BY, resamples=20)
    assert validate_result(result, set()) is None
    if analysis == "drift":
        assert {"Drift by Weight Decay", "Drift by weight decay", "Drift by größe"} <= {t.title for t in result.tables}
