"""Protocols and records of analyses: their view of the dataset, and their tables, figures and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.vocabulary import WeightForm

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """The number of kernels, layers and models behind a result."""

    kernels: int
    layers: int
    models: int


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of results, written as Parquet and CSV.

    Attributes:
        name: Name of its files, for example `drift_task`.
        title: Heading.
        rows: The table.
        about: One sentence on what it shows.
        excerpt_of: Name of the table that has all of these rows as well; its tests are not counted twice.
        batches: Yields all rows, for a table that is too large for memory; `rows` are then the first of them, which the
            page shows. See `SpooledRows`.
    """

    name: str
    title: str
    rows: pa.Table
    about: str = ""
    excerpt_of: str | None = None
    batches: Callable[[], Iterator[pa.RecordBatch]] | None = None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, drawn when the report is written.

    Attributes:
        name: Name of its files.
        title: Heading.
        caption: Text below the figure.
        basis: What the figure is computed from.
        table: Name of the table that it shows.
        draw: Draws on an empty `matplotlib.figure.Figure`.
        width: In inches. In the default width, type of 9.5 points is 9 px tall on a phone of 390 px.
        height: In inches.
    """

    name: str
    title: str
    caption: str
    basis: SampleSize
    table: str
    draw: Callable[[Canvas], None]
    width: float = 5.2
    height: float = 4.5


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The number that a finding states, with its uncertainty.

    Attributes:
        label: What it is a number of, for example `estimated drift D`.
        value: The number; a share of 1 where `percent` is set.
        low: Lower end of its 95 % interval; None where none is known.
        high: Upper end of its 95 % interval; None where none is known.
        p: p-value of the test of the finding; None without one.
        q: The p-value adjusted for the number of tests; None without one.
        percent: Whether the number and its interval are shown as percentages.
        note: How sure it is, for a number without interval: `a count of all`, or what chance would give.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None
    percent: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence for the top of the report, with the row or the rows that it is derived from.

    Attributes:
        text: The sentence.
        table: Name of the table that has the row; None for a sentence that rests on no single row.
        row: Position of the row in that table, from 0.
        other_rows: Positions of further rows, for a sentence that names several models or groups.
        figure: Name of the figure that shows it. By default the first figure of the analysis that shows `table`, or for
            a finding without a table the first of all.
        estimate: The number that the sentence states; None for one that states none, or several.
        basis: What the number is computed from. By default that of the figure.
        columns: Columns of `index` and `models` that it rests on, such as `task` and `sparsity`.
    """

    text: str
    table: str | None = None
    row: int | None = None
    other_rows: tuple[int, ...] = ()
    figure: str | None = None
    estimate: Estimate | None = None
    basis: SampleSize | None = None
    columns: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The positions of all rows that the sentence is derived from."""
        return () if self.table is None or self.row is None else (self.row, *self.other_rows)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text


@dataclass(frozen=True, kw_only=True)
class Result:
    """The results of an analysis.

    Attributes:
        tables: Tables.
        figures: Figures.
        findings: Sentences for the top of the report, the most important first; a string is a `Finding` without a row.
        note: Why there is nothing to analyze; shown in the section of the analysis and no finding. Empty elsewhere.
    """

    tables: tuple[ResultTable, ...] = ()
    figures: tuple[Figure, ...] = ()
    findings: tuple[Finding | str, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """Options of `filtercrawl analyze`.

    Attributes:
        by: Columns of `index` or `models` whose groups are compared.
        exact: Whether to read the kernels and use each comparison's own histogram range, as the paper does, in place of
            the sketches with their fixed range.
        resamples: Number of random assignments of models to groups in a test.
        seed: Seed of all random numbers.
        device: Device for work on kernels.
        view: Whether kernels are those that the checkpoints store (`raw`) or those that the networks convolve with
            (`effective`): normalized, standardized, with branches merged and batch normalization folded.
        along: `step` where each analysis runs once for every step of the training runs, and its tables have the results
            of all steps; None where analyses see final checkpoints.
        join: A CSV or Parquet file with columns of filters, such as their relevance; None without one.
    """

    by: tuple[str, ...] = ("task", "visual_category", "training_dataset", "family", "depth_decile")
    exact: bool = False
    resamples: int = 10_000
    seed: int = 0
    device: str = "cpu"
    view: WeightForm = "raw"
    along: Literal["step"] | None = None
    join: Path | None = None


class DatasetView(Protocol):
    """A dataset as analyses see it: learned kernels of final checkpoints, each distinct tensor once."""

    @property
    def index(self) -> pa.Table:
        """Rows of `index` sorted by `model_id` and `layer_id`, with the other columns of `models` as `model_NAME`."""
        ...

    @property
    def all_layers(self) -> pa.Table:
        """All rows of `index` whose weights were read, also repeated and unlearned ones and those of earlier steps."""
        ...

    @property
    def models(self) -> pa.Table:
        """Rows of `models` in the order of the dataset."""
        ...

    @property
    def options(self) -> AnalysisOptions:
        """Options of the run."""
        ...

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of layers; reads no weights.

        Args:
            layers: Values of `layer_sha256`.

        Returns:
            One row of `sketches` for each, in this order.
        """
        ...

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the sampled kernels of layers; reads no layers files.

        Args:
            layers: Values of `layer_sha256`.

        Yields:
            `(layer_sha256, kernels)` for each layer that has samples: float32 `[k, taps]`, k at most 64.
        """
        ...

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield all kernels of layers; reads layers files.

        Args:
            layers: Values of `layer_sha256`.

        Yields:
            `(layer_sha256, kernels)`, a layer in one or more parts: float32 `[k, taps]`.

        Raises:
            DatasetError: A layers file is missing or cannot be read.
        """
        ...

    def with_view(self, view: WeightForm) -> DatasetView:
        """Return the same dataset with its weights in another form; effective ones are computed when asked for.

        In the view `effective`, `layer_sha256` of a layer with a row in `effective` is its `effective_sha256`, the
        quality columns are those of its effective weight, and merged branches are left out.

        Args:
            view: The form of the weights.
        """
        ...

    def steps(self) -> Sequence[TrainingStep]:
        """Return the steps of all training runs of which the dataset has two or more, by run and step.

        They hold the checkpoints that the view itself leaves out, as they are not final.
        """
        ...

    def progress(self, done: int, total: int, what: str) -> None:
        """Report the progress of a long step.

        Args:
            done: Units of work that are done.
            total: Units of work of the step.
            what: What is being done, for people.

        Raises:
            Cancelled: The run is to end.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One checkpoint of a training run.

    Attributes:
        run_id: The run.
        step: The step.
        model_id: The checkpoint.
        dataset: Its learned layers, each distinct tensor once; without steps of its own.
    """

    run_id: str
    step: int
    model_id: str
    dataset: DatasetView


@runtime_checkable
class Analysis(Protocol):
    """An analysis of a dataset.

    An attribute `default = False`, which an analysis need not have, keeps it out of runs that do not name it by
    `--only` or `--also`: for one that reads all kernels, or that takes more than about 10 ms a layer. An attribute
    `reads_kernels = True` lets the page say that its results are not from sketches.
    """

    @property
    def name(self) -> str:
        """Name of the analysis: lower-case letters, digits and hyphens."""
        ...

    @property
    def title(self) -> str:
        """Heading in the report."""
        ...

    def run(self, dataset: DatasetView) -> Result:
        """Analyze the dataset; groups that are too small are left out and reported, not raised.

        Args:
            dataset: The kernels and tables to analyze, and the options of the run.

        Raises:
            Cancelled: The run is to end.
        """
        ...
