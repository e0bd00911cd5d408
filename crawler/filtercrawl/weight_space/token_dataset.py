"""A torch dataset of networks as sequences of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files.subset_folders import SPLITS
from filtercrawl.load.layers import load_located_layers, select_located_layers
from filtercrawl.load.location import open_location
from filtercrawl.load.tensors import to_tensors
from filtercrawl.load.views import RAW
from filtercrawl.subsets.population import read_models
from filtercrawl.weight_space.model_splits import ModelSplits
from filtercrawl.weight_space.tokens import TokenSequence, check_token_size, tokenize

# A filter of 32 channels of 3x3: SANE's size for residual networks.
TOKEN_SIZE: Final = 288
# Columns of `models` that a model may be labelled by, and that say what of it is not in the sequence.
LABELS: Final = (
    "family", "architecture", "task", "visual_category", "training_datasets", "license", "metrics", "num_params",
    "tensors_emitted", "tensors_skipped",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelTokens:
    """The convolutions of a model as tokens.

    Attributes:
        model_id: The model.
        sequence: Its tokens, or a window of them.
        layers: `layer_id` of the layers, by the layer number of the positions.
        shapes: Shapes of the layers, `[out_channels, in_channels/groups, *kernel_size]`: with these, `detokenize` makes
            weights of a whole sequence.
        labels: What `models` says of the model; None where it is unknown. `tensors_emitted` and `tensors_skipped` say
            how much of the checkpoint the dataset has: biases, normalizations and linear layers are not in it.
    """

    model_id: str
    sequence: TokenSequence
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    labels: Mapping[str, Any]


class TokenDataset(IterableDataset[ModelTokens]):
    """Networks as sequences of tokens, one after the other, as a torch `IterableDataset`.

    Yields `ModelTokens`. The layers of a network are in the order of its convolutions where that is known, else in that
    of its file. Give it to a `DataLoader` with `batch_size=None`. A checkpoint that only repeats another one is left
    out.

    The same seed and epoch give the same order; each of several workers reads its own models. Memory: the weights and
    tokens of one model in each worker.

    Attributes:
        models: The model ids, in the order of `index`.

    Example:
        >>> networks = filtercrawl.TokenDataset("org/kernels", where="weight_kind = 'learned'", split="train")
        >>> for network in networks:
        ...     network.sequence.tokens, network.sequence.mask, network.sequence.positions, network.labels["family"]
    """

    def __init__(
        self,
        repo_or_path: str | Path,
        *,
        token_size: int = TOKEN_SIZE,
        where: str | None = None,
        split: str | None = None,
        window: int | None = None,
        view: str = RAW.name,
        seed: int = 0,
        revision: str | None = None,
    ) -> None:
        """Select the models; weights are read when the dataset is iterated.

        Args:
            repo_or_path: A folder, `org/name` or `org/name@revision`.
            token_size: Numbers of a token; 0 for those of the longest filter of each model.
            where: A condition over the columns of `index`, as for `load_layers`; None for all layers.
            split: `train`, `validation` or `test`: 70, 15 and 15 % of the groups of kin; None for all models.
            window: Yield windows of at most this many consecutive tokens; None for whole networks.
            view: The view of the weights, as for `load_layers`, such as `raw` or `effective`; models without a layer in
                it are left out.
            seed: Seed of the order; not negative. The splits do not depend on it.
            revision: A branch, tag or commit of a repository; by default `main`.

        Raises:
            UsageError: Nothing matches, or an argument is not understood.
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer, or has no such repository or revision.
        """
        check_token_size(token_size)
        if seed < 0 or (window is not None and window < 1):
            raise UsageError(f"a seed is not negative, and a window not empty: {seed=}, {window=}")
        if split is not None and split not in SPLITS:
            raise UsageError(f"split: {split!r} is not one of {', '.join(SPLITS)}")
        self._location = open_location(repo_or_path, revision)
        self._where, self._view, self._token_size, self._window = where, view, token_size, window
        selected = select_located_layers(self._location, where, ["model_id"], view=view)
        self.models: tuple[str, ...] = tuple(dict.fromkeys(selected["model_id"].to_pylist()))
        if split is not None:
            assigned = ModelSplits.load(self._location)
            self.models = tuple(model for model in self.models if assigned.of_model(model) == split)
        if not self.models:
            among = (f" in {split}" if split else "") + (f" with layers of the view {view}" if view != RAW.name else "")
            raise UsageError(f"{self._location}: no models{among}" + (f" where {where}" if where else ""))
        known = set(self.models)
        rows = read_models(self._location, ["model_id", *LABELS]).to_pylist()
        self._labels = {row.pop("model_id"): row for row in rows if row["model_id"] in known}
        self._seed, self._epoch = seed, torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """Return the number of models.

        Raises:
            TypeError: Windows are yielded, whose number is known only when the weights were read.
        """
        if self._window is not None:
            raise TypeError("the number of windows is not known; `models` has those of which they are")
        return len(self.models)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass, from 0; without a call every pass has the same order."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[ModelTokens]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        order = np.random.default_rng([self._seed, int(self._epoch)]).permutation(len(self.models))
        for place in order[number::workers]:
            network = self.read(self.models[place])
            if self._window is None:
                yield network
                continue
            for part in network.sequence.windows(self._window):
                yield replace(network, sequence=part)

    def read(self, model_id: str) -> ModelTokens:
        """Return one model, whole.

        Raises:
            DatasetError: The dataset is damaged.
            NetworkError: The Hub does not answer.
        """
        this_model = duckdb.ColumnExpression("model_id") == duckdb.ConstantExpression(model_id)
        columns = ["layer_id", "conv_depth"]
        table = load_located_layers(self._location, self._where, columns, this_model, view=self._view)
        depths = table["conv_depth"].to_pylist()
        # `sorted` keeps layers of equal or unknown depth in the order of the file.
        order = sorted(range(len(depths)), key=lambda row: (depths[row] is None, depths[row] or 0))
        weights, ids = to_tensors(table), table["layer_id"].to_pylist()
        return ModelTokens(
            model_id=model_id,
            sequence=tokenize([weights[row] for row in order], self._token_size),
            layers=tuple(ids[row] for row in order),
            shapes=tuple(tuple(weights[row].shape) for row in order),
            labels=self._labels.get(model_id, dict.fromkeys(LABELS)),
        )
