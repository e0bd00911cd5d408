"""Which numbers of layers change over the steps of runs, and their quartiles."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.training.step_medians import MAX_COLUMNS, MAX_RUNS, step_medians


def table(runs: int = 1, steps: int = 3, layers: int = 5, **columns: pa.Array) -> pa.Table:
    places = [(f"run{run}", step) for run in range(runs) for step in range(steps) for _ in range(layers)]
    return pa.table({"run_id": [run for run, _ in places], "step": [step for _, step in places], **columns})


def test_numbers_that_change_come_first_and_others_are_left_out() -> None:
    random = np.random.default_rng(0)
    step = np.repeat([0.0, 1.0, 2.0], 5)
    found = step_medians(
        table(
            some=pa.array(step + 5 * random.standard_normal(15)),
            most=pa.array(-step + 0.01 * random.standard_normal(15)),
            constant=pa.array(np.ones(15)),
            unknown=pa.array([None] * 15, pa.float64()),
            p_value=pa.array(step),
            count=pa.array(step.astype(int)),
        )
    )
    assert [curve.column for curve in found] == ["most", "some"]
    values = (-step + 0.01 * np.random.default_rng(0).standard_normal(15)).reshape(3, 5)
    assert found[0].quartiles.shape == (3, 3)
    assert np.abs(found[0].quartiles[1] - np.median(values, 1)).max() < 0.05
    assert (found[0].quartiles[0] < found[0].quartiles[2]).all()
    assert found[0].steps.tolist() == [0, 1, 2]


def test_unknown_values_are_left_out_of_a_step() -> None:
    (curve,) = step_medians(table(layers=2, x=pa.array([1.0, None, None, np.nan, 3.0, 5.0])))
    assert curve.quartiles[1, [0, 2]].tolist() == [1, 4]
    assert np.isnan(curve.quartiles[:, 1]).all()


def test_runs_and_columns_are_limited() -> None:
    step = np.tile([0.0, 1.0, 2.0], 6)
    columns = {f"x{i}": pa.array(step * (i + 1)) for i in range(MAX_COLUMNS + 2)}
    found = step_medians(table(runs=6, layers=1, **columns))
    assert len(found) == MAX_COLUMNS * MAX_RUNS
    assert {curve.run_id for curve in found} == {f"run{i}" for i in range(MAX_RUNS)}


def test_runs_of_the_most_steps_are_shown_whatever_their_layers() -> None:
    long = [("long", step) for step in range(4)]
    wide = [(f"wide{run}", step) for run in range(MAX_RUNS) for step in range(2) for _ in range(9)]
    places = [*wide, *long]
    rows = pa.table(
        {"run_id": [run for run, _ in places], "step": [at for _, at in places], "x": [float(at) for _, at in places]}
    )
    assert [curve.run_id for curve in step_medians(rows)] == ["long", *(f"wide{run}" for run in range(MAX_RUNS - 1))]
