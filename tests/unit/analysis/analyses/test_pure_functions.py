"""Functions of the analyses that need no dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl_analysis.analyses.census import years
from filtercrawl_analysis.analyses.kernel_shape import FREQUENCY, frequency_numbers, radii
from filtercrawl_analysis.analyses.registry import ANALYSES, empty_result, filtercrawl_analyses
from filtercrawl_analysis.run.analyze import check_columns


def test_years_of_releases() -> None:
    index = pa.table({"model_released": ["2021-05-03", "2019", None, "", "unknown", "20"]})
    assert years(index) == ["2021", "2019", None, None, None, None]


def test_frequencies_are_in_units_of_the_nyquist_frequency() -> None:
    assert radii((3, 3)).tolist() == [0, 1 / 3, 2 / 3, 1]


def test_shares_of_the_energy_by_frequency() -> None:
    numbers = frequency_numbers(np.array([[1.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]), radii((3, 3)))
    assert set(numbers) == set(FREQUENCY)
    assert numbers["mean_share"][0] == 0.25
    assert numbers["low_share"][0] == 0.5
    assert numbers["high_share"][0] == 0.5
    assert numbers["frequency_centre"][0] == pytest.approx(0.25 / 3 + 0.5 * 2 / 3)
    assert all(np.isnan(values[1]) for values in numbers.values())


def test_an_empty_result_says_why() -> None:
    result = empty_result("no learned kernels")
    assert (result.tables, result.figures) == ((), ())
    assert (result.findings, result.note) == ((), "Nothing to analyze: no learned kernels.")


def test_the_hook_registers_every_analysis_once() -> None:
    assert tuple(filtercrawl_analyses()) == ANALYSES
    assert len({analysis.name for analysis in ANALYSES}) == len(ANALYSES)


def test_columns_that_can_be_compared(tmp_path: Path) -> None:
    check_columns(("task", "position", "depth_decile"), tmp_path)
    with pytest.raises(UsageError, match="--by: no column is named 'colour'; the page Schema of the documentation"):
        check_columns(("task", "colour"), tmp_path)
