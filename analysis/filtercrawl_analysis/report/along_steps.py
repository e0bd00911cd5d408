"""Running an analysis once for every step of the training runs, into tables of all steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa

from filtercrawl.api.analysis import Analysis, DatasetView, Result, ResultTable, TrainingStep

_PLACE = ("run_id", "step")


@dataclass(frozen=True, kw_only=True)
class AlongSteps:
    """An analysis that runs another one for every step of the training runs.

    Its tables are those of the other one with the columns `run_id` and `step` before theirs. Figures and findings are
    of one step each, and left out.

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
        return Result(tables=tables, note="" if tables else " ".join(notes))


def along_steps(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Return analyses that run along the steps; those with an attribute `by_step` compare steps themselves."""
    return [analysis if getattr(analysis, "by_step", False) else AlongSteps(inner=analysis) for analysis in analyses]


def _table_with_step(table: ResultTable, step: TrainingStep) -> ResultTable:
    def batches() -> Iterator[pa.RecordBatch]:
        for batch in table.batches() if table.batches else ():
            yield from _with_step(pa.Table.from_batches([batch]), step).to_batches()

    return replace(table, rows=_with_step(table.rows, step), batches=batches if table.batches else None)


def _with_step(rows: pa.Table, step: TrainingStep) -> pa.Table:
    values = {"run_id": pa.array([step.run_id] * len(rows)), "step": pa.array([step.step] * len(rows), pa.int64())}
    own = rows.drop_columns([name for name in _PLACE if name in rows.column_names])
    return pa.table([*values.values(), *own.columns], names=[*values, *own.column_names])


def _joined(tables: Sequence[ResultTable]) -> ResultTable:
    first = tables[0]
    title = f"{first.title}, by training step"
    streams = [table.batches for table in tables if table.batches]
    if streams:  # the rows of the first step are the first of all
        return replace(first, title=title, batches=lambda: chain.from_iterable(stream() for stream in streams))
    rows = pa.concat_tables([table.rows for table in tables], promote_options="permissive")
    return replace(first, title=title, rows=rows)
