"""Running an analysis once for every step of the training runs, into tables of all steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api.analysis import Analysis, DatasetView, Figure, Result, ResultTable, TrainingStep
from filtercrawl_analysis.plots.step_curves import draw_step_curves, panel_rows
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.training.step_medians import step_medians

_PLACE = ("run_id", "step")


@dataclass(frozen=True, kw_only=True)
class AlongSteps:
    """An analysis that runs another one for every step of the training runs.

    Its tables are those of the other one with the columns `run_id` and `step` before theirs. Its figures and findings
    are of one step each, and left out; in their place, the numbers of the first table of layers that change most are
    drawn by step.

    Attributes:
        inner: The other analysis.
    """

    inner: Analysis

    @property
    def name(self) -> str:
        """Name of the analysis, that of the other one."""
        return self.inner.name

    @property
    def title(self) -> str:
        """Heading in the report."""
        return f"{self.inner.title}, by training step"

    @property
    def reads_kernels(self) -> bool:
        """Whether the other one reads kernels."""
        return bool(getattr(self.inner, "reads_kernels", False))

    def run(self, dataset: DatasetView) -> Result:
        """Run the other analysis for each step."""
        steps = dataset.steps()
        if not steps:
            return Result(note="Nothing to analyze: no training run has two or more checkpoints.")
        found: dict[str, list[ResultTable]] = {}
        notes: dict[str, None] = {}
        for done, step in enumerate(steps):
            dataset.progress(done, len(steps), f"{self.name}, steps")
            result = self.inner.run(step.dataset)
            for table in result.tables:
                found.setdefault(table.name, []).append(_table_with_step(table, step))
            if result.note:
                notes[result.note] = None
        dataset.progress(len(steps), len(steps), f"{self.name}, steps")
        tables = tuple(_joined(tables) for tables in found.values())
        return Result(tables=tables, figures=tuple(_figures(tables)), note="" if tables else " ".join(notes))


def along_steps(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Return analyses that run along the steps; those with an attribute `by_step` compare steps themselves."""
    return [analysis if getattr(analysis, "by_step", False) else AlongSteps(inner=analysis) for analysis in analyses]


def _figures(tables: Sequence[ResultTable]) -> Iterator[Figure]:
    """Yield the curves of the first table of layers that is in memory as a whole."""
    of_layers = (
        table for table in tables if {"layer_id", "n_kernels"} <= {*table.rows.column_names} and not table.batches
    )
    table = next(of_layers, None)
    curves = [] if table is None else [asdict(curve) for curve in step_medians(table.rows)]
    if table is None or not curves:
        return
    rows = table.rows.filter(
        pc.is_in(table.rows["run_id"], value_set=pa.array(sorted({curve["run_id"] for curve in curves})))
    )
    yield Figure(
        name=f"steps_{table.name}",
        title=table.title,
        caption="Median over layers and the quartiles of the numbers that change most from the first to the last step.",
        basis=sample_size(rows),
        table=table.name,
        draw=partial(draw_step_curves, curves=curves),
        width=5.8,
        height=0.8 + 2.1 * panel_rows(curves),
    )


def _table_with_step(table: ResultTable, step: TrainingStep) -> ResultTable:
    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.batches() if table.batches else ():
            yield from _with_step(pa.Table.from_batches([batch]), step).to_batches()

    return replace(table, rows=_with_step(table.rows, step), batches=batches if table.batches else None)


def _with_step(rows: pa.Table, step: TrainingStep) -> pa.Table:
    values = {
        "run_id": pa.array([step.run_id] * len(rows), pa.string()),
        "step": pa.array([step.step] * len(rows), pa.int64()),
    }
    own = rows.drop_columns([name for name in _PLACE if name in rows.column_names])
    return pa.table([*values.values(), *own.columns], names=[*values, *own.column_names])


def _joined(tables: Sequence[ResultTable]) -> ResultTable:
    first = tables[0]
    title = f"{first.title}, by training step"
    about = f"Each step is analyzed by itself, also in tests. {first.about}".rstrip()
    streams = [table.batches for table in tables if table.batches]
    if streams:  # the rows of the first step are the first of all
        return replace(
            first, title=title, about=about, batches=lambda: chain.from_iterable(stream() for stream in streams)
        )
    rows = pa.concat_tables([table.rows for table in tables], promote_options="permissive")
    return replace(first, title=title, about=about, rows=rows)
