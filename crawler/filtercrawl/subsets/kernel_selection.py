"""Which kernels of the layers of a subset are in it: by their weights, without equal ones, and by caps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.api.progress import Progress
from filtercrawl.load.whole_layers import read_whole_layers
from filtercrawl.subsets.kernel_duplicates import FirstKernels
from filtercrawl.subsets.kernel_rules import Kernels, canonical_bytes, failing_kernels
from filtercrawl.subsets.picks import kernel_scores, lowest
from filtercrawl.subsets.population import Population
from filtercrawl.subsets.recipe import KernelRules, Recipe

Mask = NDArray[np.bool_]
# Of a cap for a model, so many times the cap are held before the worst are dropped.
_SLACK: Final = 4


@dataclass
class KernelSelection:
    """Kernels of layers that are in a subset: a bit for each.

    Attributes:
        n_kernels: Kernels of each layer, by row.
        excluded: Number of kernels by the first rule that excludes them.
    """

    n_kernels: dict[int, int]
    excluded: Counter[str] = field(default_factory=Counter)
    _bits: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def mask(self, row: int) -> Mask:
        """Return whether each kernel of a layer is in the subset."""
        if row not in self._bits:
            return np.ones(self.n_kernels[row], np.bool_)
        return np.unpackbits(self._bits[row], count=self.n_kernels[row], bitorder="little").view(np.bool_)

    def n_kept(self, row: int) -> int:
        """Return how many kernels of a layer are in the subset."""
        return int(self.mask(row).sum())

    def packed(self, row: int) -> bytes | None:
        """Return a bit for each kernel of a layer, the lowest first; None where all are in the subset."""
        return None if self.mask(row).all() else self._bits[row].tobytes()

    def keep(self, row: int, kept: Mask, reason: str) -> None:
        """Exclude the kernels of a layer that are not kept."""
        before = self.mask(row)
        after = before & kept
        lost = int(before.sum()) - int(after.sum())
        if lost:
            self.excluded[reason] += lost
            self._bits[row] = np.packbits(after, bitorder="little")


def select_kernels(population: Population, rows: Sequence[int], recipe: Recipe, progress: Progress) -> KernelSelection:
    """Apply the rules for kernels to layers. Weights are read once, and only if a rule needs them.

    Memory: a bit for each kernel, the layers of a row group, and 1 GB where equal kernels are looked for.

    Args:
        population: The layers of the dataset.
        rows: Those that are still in the subset.
        recipe: The rules.
        progress: Receives a step a layer.

    Raises:
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer.
    """
    n_kernels = population.values("n_kernels")
    selection = KernelSelection({row: n_kernels[row] for row in rows})
    if recipe.deduplicate.kernels == "none" or not rows:
        for row, kernels in _weights(population, _to_read(population, rows, recipe.kernels), progress):
            for reason, failing in failing_kernels(kernels, recipe.kernels):
                selection.keep(row, ~failing, reason)
    else:
        _without_equal(population, rows, recipe, selection, progress)
    _apply_caps(population, rows, recipe, selection)
    return selection


def _to_read(population: Population, rows: Sequence[int], rules: KernelRules) -> list[int]:
    """Return the layers whose weights decide something; where all numbers are known to be finite, `finite` does not."""
    if rules == KernelRules():
        return []
    if rules != KernelRules(finite=True):
        return list(rows)
    nonfinite = population.values("n_nonfinite")
    return [row for row in rows if nonfinite[row] != 0]


def _weights(population: Population, rows: Sequence[int], progress: Progress) -> Iterator[tuple[int, Kernels]]:
    layers = read_whole_layers(population.location, population.requests(rows))
    for number, (request, kernels) in enumerate(layers, 1):
        yield request.row, kernels
        progress.step(number, len(rows), "layers read")


def _without_equal(
    population: Population, rows: Sequence[int], recipe: Recipe, selection: KernelSelection, progress: Progress
) -> None:
    """Apply the rules, then keep the first of equal kernels by layer id and place."""
    names = ("kernel", "model_id", "n_kernels")
    sizes, models, counts = (population.values(name) for name in names)
    codes = {model: code for code, model in enumerate(sorted(set(models)))}
    ordered = sorted(rows)
    first = np.cumsum([0, *(counts[row] for row in ordered)])
    start = dict(zip(ordered, first.tolist(), strict=False))
    within = recipe.deduplicate.within
    with FirstKernels() as found:
        for row, kernels in _weights(population, ordered, progress):
            for reason, failing in failing_kernels(kernels, recipe.kernels):
                selection.keep(row, ~failing, reason)
            kept = np.flatnonzero(selection.mask(row))
            scope = {"layer": row, "model": codes[models[row]], "subset": 0}[within]
            canonical = canonical_bytes(kernels[kept], recipe.deduplicate.kernels)
            found.add(canonical, sizes[row], scope, start[row] + kept)
        for layer, is_first in _by_layer(found.first(), first):
            selection.keep(ordered[layer], is_first, "duplicate")


def _by_layer(numbers: Iterable[NDArray[np.int64]], first: NDArray[np.int64]) -> Iterator[tuple[int, Mask]]:
    """Turn numbers of kernels into a mask for each layer; memory is that of one mask.

    Args:
        numbers: In order, in batches.
        first: Number of the first kernel of each layer, and the number of all kernels [layers + 1].
    """
    layer, mask = 0, np.zeros(int(first[1]), np.bool_)
    for batch in numbers:
        taken = 0
        while taken < len(batch):
            end = int(np.searchsorted(batch, first[layer + 1]))
            mask[batch[taken:end] - first[layer]] = True
            if end < len(batch):  # the next number is of a later layer
                yield layer, mask
                layer += 1
                mask = np.zeros(int(first[layer + 1] - first[layer]), np.bool_)
            taken = end
    while True:
        yield layer, mask
        layer += 1
        if layer + 1 == len(first):
            return
        mask = np.zeros(int(first[layer + 1] - first[layer]), np.bool_)


def _apply_caps(population: Population, rows: Sequence[int], recipe: Recipe, selection: KernelSelection) -> None:
    ids, models = population.values("layer_id"), population.values("model_id")
    caps, seed = recipe.caps, recipe.seed
    if (limit := caps.kernels_per_layer) is not None:
        for row in rows:
            scores = kernel_scores(seed, ids[row], selection.n_kernels[row])
            selection.keep(row, lowest(scores, selection.mask(row), limit), "cap_kernels_per_layer")
    if (limit := caps.kernels_per_model) is not None:
        layers = defaultdict[str, list[int]](list)
        for row in sorted(rows):
            layers[models[row]].append(row)
        for members in layers.values():
            for row, kept in _lowest_of_model(members, ids, seed, limit, selection).items():
                selection.keep(row, kept, "cap_kernels_per_model")


def _lowest_of_model(
    rows: Sequence[int], ids: Sequence[str], seed: int, limit: int, selection: KernelSelection
) -> dict[int, Mask]:
    """Return the kernels of a model's layers that have its lowest scores."""
    best = np.empty((0, 3), np.uint64)  # score, row, place
    for row in rows:
        places = np.flatnonzero(selection.mask(row)).astype(np.uint64)
        scores = kernel_scores(seed, ids[row], selection.n_kernels[row])[places]
        own = np.stack([scores, np.full_like(places, row), places], axis=1)
        best = np.concatenate([best, own])
        if len(best) > _SLACK * limit:
            best = _first(best, limit)
    best = _first(best, limit)
    kept = {row: np.zeros(selection.n_kernels[row], np.bool_) for row in rows}
    for row in rows:
        kept[row][best[best[:, 1] == row, 2].astype(np.int64)] = True
    return kept


def _first(pairs: NDArray[np.uint64], limit: int) -> NDArray[np.uint64]:
    """Return the rows of the lowest scores; of equal scores those of the first layer and place."""
    found: NDArray[np.uint64] = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0]))[:limit]]
    return found
