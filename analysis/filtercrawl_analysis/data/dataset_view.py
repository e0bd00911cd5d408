"""The view of a dataset folder that analyses get: learned kernels of final checkpoints, each distinct tensor once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import AnalysisOptions, TrainingStep
from filtercrawl.api.vocabulary import WeightForm
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.layer_store import LayerStore
from filtercrawl.dataset.schema.arrow import INDEX, MODELS
from filtercrawl_analysis.data.dataset_state import dataset_state
from filtercrawl_analysis.data.effective_layers import EffectiveLayers
from filtercrawl_analysis.data.extra_columns import with_extra_columns
from filtercrawl_analysis.data.kept_results import KeptResults
from filtercrawl_analysis.data.selection import LayerSelection, select_layers
from filtercrawl_analysis.data.stored_layers import StoredLayers, ViewedLayers, all_nullable
from filtercrawl_analysis.data.training_steps import training_steps
from filtercrawl_analysis.engines.engine import Engine, SerialEngine
from filtercrawl_analysis.statistics.groups.labels import POSITION

T = TypeVar("T")
R = TypeVar("R")

# Results of a method that are kept for each layer of `index`: for two views, or two seeds.
_RESULTS_PER_LAYER: Final = 2


class FolderDatasetView:
    """The `DatasetView` of a dataset folder, read with bounded memory.

    `index` holds the layers that `select_layers` selects, sorted by `model_id` and `layer_id`. A folder without layers
    gives empty tables. What is computed of effective weights, and results of layers, are kept below `.filtercrawl` of
    the folder, if that may be written.
    """

    def __init__(
        self,
        folder: Path,
        options: AnalysisOptions | None = None,
        progress: Callable[[int, int, str], None] | None = None,
        engine: Engine | None = None,
        store: LayerStore | None = None,
    ) -> None:
        """Open a folder; files are read when something is asked for.

        Args:
            folder: The dataset folder.
            options: What the analyses are asked for; by default the defaults.
            progress: Called by `progress`.
            engine: Where `map` computes; by default in this process.
            store: Where the layers files are; None for the folder alone.
        """
        self._folder = folder
        self._options = options or AnalysisOptions()
        self._progress = progress
        self._engine: Engine = engine or SerialEngine()
        self._store = store
        self._stored = StoredLayers(folder, store)
        self._layers: ViewedLayers = self._stored
        if self._options.view == "effective":
            self._layers = EffectiveLayers(self._stored, self._options.device, self.progress)

    @property
    def options(self) -> AnalysisOptions:
        """What the analyses are asked for."""
        return self._options

    def progress(self, done: int, total: int, what: str) -> None:
        """Report how far a long step is."""
        if self._progress is not None:
            self._progress(done, total, what)

    def with_view(self, view: WeightForm) -> FolderDatasetView:
        """Return the same dataset with its weights in another form."""
        options = replace(self._options, view=view)
        return FolderDatasetView(self._folder, options, self._progress, self._engine, self._store)

    @cached_property
    def models(self) -> pa.Table:
        """All rows of `models`."""
        return all_nullable(DatasetFolder(self._folder).table("models"))

    @cached_property
    def index(self) -> pa.Table:
        """The rows of `index` that analyses see, with the columns of `models` that it lacks as `model_NAME`.

        So are the keys of `models.extra` by which the layers are compared.
        """
        return self._joined(self._layers.index.take(self.selection.rows))

    def steps(self) -> Sequence[TrainingStep]:
        """Return the steps of all training runs of which the dataset has two or more, by run and step."""
        return self._steps

    @cached_property
    def all_layers(self) -> pa.Table:
        """All rows of `index` whose weights were read."""
        return self._layers.index.filter(pc.is_valid(self._layers.index["layer_sha256"]))

    @cached_property
    def selection(self) -> LayerSelection:
        """Which rows of `index` these are, and why others are left out."""
        return select_layers(self._layers.index)

    @cached_property
    def state(self) -> str:
        """A digest of the layers and models of the dataset, the same in every view."""
        return dataset_state(self._stored.index, self.models)

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of layers, computed from their kernels where none are stored.

        Args:
            layers: The layer_sha256 of each.

        Returns:
            Rows of the schema SKETCHES in the order of `layers`.

        Raises:
            DatasetError: A layer has neither a sketch nor kernels.
        """
        return self._layers.sketches(layers)

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield layer_sha256 and at most 64 sampled kernels, float32 [k, taps], of those layers that have any."""
        yield from self._layers.samples(layers)

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield layer_sha256 and kernels, float32 [k, taps]; a layer in one or more consecutive parts.

        In the order of the files, not of `layers`.

        Raises:
            DatasetError: A file or a layer is missing.
        """
        yield from self._layers.kernels(layers)

    def layer_results(self, method: str, keys: Sequence[str], compute: Callable[[Sequence[int]], pa.Table]) -> pa.Table:
        """Return the results of layers, those of earlier runs from below `.filtercrawl` of the folder."""
        return KeptResults(self._folder, _RESULTS_PER_LAYER * len(self._layers.index)).rows(method, keys, compute)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item, computed by the engine."""
        return self._engine.map(function, items)

    @cached_property
    def _steps(self) -> tuple[TrainingStep, ...]:
        of_runs = self._layers.index.filter(pc.is_valid(self._layers.index["run_id"]))
        return tuple(training_steps(self, self._joined(of_runs))) if len(of_runs) else ()

    def _joined(self, index: pa.Table) -> pa.Table:
        keys = [name for name in self._options.by if name not in {*INDEX.names, *MODELS.names, POSITION}]
        return _join_models(self._layers.measured(index), with_extra_columns(self.models, keys))


def _join_models(index: pa.Table, models: pa.Table) -> pa.Table:
    """Add the columns of `models` that `index` lacks, as model_NAME."""
    rows = pc.index_in(index["model_id"].combine_chunks(), models["model_id"].combine_chunks())
    for name in models.column_names:
        if name not in INDEX.names:
            index = index.append_column(f"model_{name}", models[name].take(rows))
    return index
