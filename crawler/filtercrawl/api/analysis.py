"""What an analysis is given and what it gives: tables, figures that say what they rest on, and findings in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True, kw_only=True)
class SampleSize:
    """What a result rests on: so many kernels, of so many layers, of so many models."""

    kernels: int
    layers: int
    models: int


@dataclass(frozen=True, kw_only=True)
class ResultTable:
    """A table of results, written as Parquet and CSV. name: of its files, `drift_task`; about: what it says."""

    name: str
    title: str
    rows: pa.Table
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, drawn when it is written. name: of its files; table: the name of the table that it shows.

    draw: draws on an empty `matplotlib.figure.Figure`; width, height: in inches.
    """

    name: str
    title: str
    caption: str
    basis: SampleSize
    table: str
    draw: Callable[[Canvas], None]
    width: float = 7.0
    height: float = 4.5


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an analysis found. findings: sentences for the top of the report, the most telling first."""

    tables: tuple[ResultTable, ...] = ()
    figures: tuple[Figure, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions:
    """How to analyse.

    by: columns of `index` or `models` whose groups are compared. exact: read the kernels and take each comparison's own
    histogram range, as the paper does, rather than the sketches with their fixed one. resamples: of models, for
    confidence intervals. seed: of all that is drawn by chance. device: where kernels are looked at.
    """

    by: tuple[str, ...] = ("task", "visual_category", "training_dataset", "family", "depth_decile")
    exact: bool = False
    resamples: int = 500
    seed: int = 0
    device: str = "cpu"


class DatasetView(Protocol):
    """What a dataset holds, as analyses see it: learned kernels of final checkpoints, each distinct tensor once.

    index: rows of `index`, a layer each, with the columns of `models` that it lacks under `model_NAME`; models: rows of
    `models`. Both in the order of the dataset.
    """

    @property
    def index(self) -> pa.Table: ...

    @property
    def models(self) -> pa.Table: ...

    @property
    def options(self) -> AnalysisOptions: ...

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of these layer_sha256 in this order, by the schema SKETCHES; reads no weight."""
        ...

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield (layer_sha256, at most 64 kernels [k, taps]) for those of these layers that have any."""
        ...

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield (layer_sha256, kernels [k, taps]), a layer in one or more parts; reads the files of `layers`."""
        ...

    def progress(self, done: int, total: int, what: str) -> None:
        """Tell whoever watches how far a long step is; may raise to end it."""
        ...


@runtime_checkable
class Analysis(Protocol):
    """A plugin's analysis. name: lower-case letters, digits and hyphens; title: a heading of the report."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def run(self, dataset: DatasetView) -> Result:
        """Analyze the dataset; groups that are too small are left out and reported, not raised."""
        ...
