"""The steps of training runs: which checkpoints they are, and the view of each one's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import AnalysisOptions, DatasetView, TrainingStep
from filtercrawl.api.vocabulary import TRAINED, WeightForm

Key = tuple[str, int]
T = TypeVar("T")
R = TypeVar("R")


def find_steps(index: pa.Table) -> dict[Key, pa.Table]:
    """Return the learned layers of each run and step, in this order; of runs with two steps or more.

    Of several checkpoints of one step it is the one with the smallest id. Layers are sorted by their id, and equal
    tensors of a checkpoint are taken once.

    Args:
        index: All rows of `index`, with the columns that views have.
    """
    usable = pc.and_(
        pc.and_(pc.is_valid(index["run_id"]), pc.is_valid(index["step"])),
        pc.and_(pc.is_valid(index["layer_sha256"]), pc.is_in(index["weight_kind"], pa.array(TRAINED))),
    )
    layers = index.filter(usable).sort_by([(name, "ascending") for name in ("run_id", "step", "model_id", "layer_id")])
    keys = layers.select(["run_id", "step", "model_id", "layer_sha256"]).to_pylist()
    owner: dict[Key, str] = {}
    rows: dict[Key, dict[str, int]] = {}
    for position, key in enumerate(keys):
        at = key["run_id"], key["step"]
        if owner.setdefault(at, key["model_id"]) == key["model_id"]:
            rows.setdefault(at, {}).setdefault(key["layer_sha256"], position)
    n_steps: dict[str, int] = {}
    for run_id, _ in rows:
        n_steps[run_id] = n_steps.get(run_id, 0) + 1
    return {at: layers.take(list(found.values())) for at, found in rows.items() if n_steps[at[0]] > 1}


def training_steps(dataset: DatasetView, index: pa.Table) -> Iterator[TrainingStep]:
    """Yield the steps of the runs of a dataset.

    Args:
        dataset: Reads the sketches, samples and kernels.
        index: As for `find_steps`.
    """
    for (run_id, step), layers in find_steps(index).items():
        yield TrainingStep(
            run_id=run_id,
            step=step,
            model_id=layers["model_id"][0].as_py(),
            dataset=StepView(dataset=dataset, index=layers),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class StepView:
    """The `DatasetView` of one checkpoint of a training run.

    Attributes:
        dataset: The view of the whole dataset.
        index: The layers of the checkpoint.
    """

    dataset: DatasetView
    index: pa.Table

    @cached_property
    def models(self) -> pa.Table:
        """The row of `models` of the checkpoint."""
        models = self.dataset.models
        return models.filter(pc.equal(models["model_id"], self.index["model_id"][0]))

    @property
    def all_layers(self) -> pa.Table:
        """All layers of the checkpoint that were read."""
        layers = self.dataset.all_layers
        return layers.filter(pc.equal(layers["model_id"], self.index["model_id"][0]))

    @property
    def options(self) -> AnalysisOptions:
        """What the analyses are asked for."""
        return self.dataset.options

    def sketches(self, layers: Sequence[str]) -> pa.Table:
        """Return the sketches of layers."""
        return self.dataset.sketches(layers)

    def samples(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the sampled kernels of layers."""
        return self.dataset.samples(layers)

    def kernels(self, layers: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the kernels of layers."""
        return self.dataset.kernels(layers)

    def layer_results(self, method: str, keys: Sequence[str], compute: Callable[[Sequence[int]], pa.Table]) -> pa.Table:
        """Return the results of layers, kept with those of the whole dataset."""
        return self.dataset.layer_results(method, keys, compute)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item."""
        return self.dataset.map(function, items)

    def with_view(self, view: WeightForm) -> StepView:
        """Return the same checkpoint with its weights in another form."""
        dataset = self.dataset.with_view(view)
        mine = pc.unique(self.index["model_id"]).to_pylist()
        layers = [step.dataset.index for step in dataset.steps() if step.model_id in mine]
        return StepView(dataset=dataset, index=layers[0] if layers else self.index.slice(0, 0))

    def steps(self) -> Sequence[TrainingStep]:
        """Return no steps: this is one."""
        return ()

    def progress(self, done: int, total: int, what: str) -> None:
        """Report how far a long step is."""
        self.dataset.progress(done, total, what)
