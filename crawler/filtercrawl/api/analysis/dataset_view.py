"""What analyses get: the options of the run, and a view of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.vocabulary import WeightForm

T = TypeVar("T")
R = TypeVar("R")


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

    def layer_results(self, method: str, keys: Sequence[str], compute: Callable[[Sequence[int]], pa.Table]) -> pa.Table:
        """Return the results of layers: those of earlier runs where they are kept, else computed and kept.

        For results that take long. The same tables must come out with and without kept ones.

        Args:
            method: Names what is computed.
            keys: For each layer a digest of everything that its result depends on, a version of the method included.
            compute: Gets positions in `keys`, perhaps none, and returns a table with a row for each; the same columns
                whatever the positions.

        Returns:
            A row for each key, in this order.
        """
        ...

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item, in their order, computed by the engine of the run.

        A value must depend on its item alone: seeds of random numbers are part of it, and it has everything that is
        read of the dataset. Functions of a module whose items and values can be pickled are computed in other
        processes, all others in this one.

        Args:
            function: Called for each item; again where its process is lost, or its value cannot be sent.
            items: Taken as they are needed, a few ahead of the value that is yielded next. An item that takes some
                tenths of a second is worth its way.

        Raises:
            Cancelled: The run is to end.
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
