"""The table of sampled kernels with both fits, how well each explains the kernel, and which form it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import f

from filtercrawl.api.analysis import DatasetView
from filtercrawl.dataset.tables.samples import LIMIT, sample_positions
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import MIN_SIZE, DogFits, GaborFits, fit_dog, fit_gabor
from filtercrawl_analysis.statistics.form.null import LEVEL, p_values
from filtercrawl_analysis.statistics.form.rounding import rounded
from filtercrawl_analysis.statistics.form.shares import MAX_TAPS
from filtercrawl_analysis.statistics.groups.resampling import random_generator

Row = dict[str, Any]

GABOR: Final = "gabor"
DOG: Final = "difference of gaussians"
NEITHER: Final = "neither"
# Parameters of a Gabor function, and how many more they are than those of a difference of Gaussians.
_GABOR_PARAMETERS: Final = 9
_FURTHER: Final = 3
# Share of the variance below which what a fit leaves is rounding.
_EXACT: Final = 1e-12
# Kernels that are fitted in all: of larger datasets, fewer than 64 of each layer.
MAX_KERNELS: Final = 100_000
# Kernels that are fitted at a time, at least.
_BATCH: Final = 4096
_LAYER_COLUMNS: Final = ("layer_id", "model_id", "kernel", "depthwise", "depth_decile")
_NAMES: Final = tuple(
    [f"gabor_{field.name}" for field in fields(GaborFits)] + [f"dog_{field.name}" for field in fields(DogFits)]
)
_AT_BOUND: Final = ("gabor_at_bound", "dog_at_bound")
FORM_KERNELS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("kernel_id", "layer_id", "model_id", "kernel")),
        pa.field("depthwise", pa.bool_()),
        pa.field("depth_decile", pa.int8()),
        pa.field("form", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("gabor_p", "dog_p")),
        *(pa.field(name, pa.bool_() if name in _AT_BOUND else pa.float64()) for name in _NAMES),
        pa.field("values", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Sampled kernels of a layer.

    Attributes:
        layer: Its row of the index.
        sampled: Kernels in the sample of the dataset.
        chosen: Which of them these are [k].
        kernels: [k, taps].
    """

    layer: Row
    sampled: int
    chosen: NDArray[np.int64]
    kernels: NDArray[np.float32]


def fitted_kernels(dataset: DatasetView) -> pa.Table:
    """Fit both models to the sampled kernels of all layers whose kernels have five taps or more along both axes.

    Where they are more than 100,000, as many of each layer are fitted, picked at random by the seed, as keep the total
    below.

    Returns:
        Rows of `FORM_KERNELS`, by kernel size, then in the order of the index.
    """
    index = dataset.index
    by_size: dict[tuple[int, int], dict[str, Row]] = {}
    names = {*_LAYER_COLUMNS, "layer_sha256", "effective_sha256", "kernel_size", "n_kernels", "shape"}
    for layer in index.select([name for name in index.column_names if name in names]).to_pylist():
        size = tuple(layer["kernel_size"])
        if len(size) == 2 and min(size) >= MIN_SIZE and math.prod(size) <= MAX_TAPS:
            by_size.setdefault(size, {})[layer["layer_sha256"]] = layer
    limit = kernels_per_layer(
        [layer["n_kernels"] for layers in by_size.values() for layer in layers.values()], MAX_KERNELS
    )
    tables = [FORM_KERNELS.empty_table()]
    for size, layers in sorted(by_size.items()):
        done = 0
        for batch in _batches(_samples(dataset, layers, math.prod(size), limit)):
            tables.append(_rows(batch, size, dataset.options.device))
            done += len(batch)
            dataset.progress(done, len(layers), f"fits to kernels of {size[0]}x{size[1]}")
    return pa.concat_tables(tables)


def kernels_per_layer(n_kernels: Sequence[int], total: int) -> int:
    """Return how many sampled kernels of a layer are fitted at most, so that all are at most `total`; at least one."""
    for limit in range(LIMIT, 1, -1):
        if sum(min(n, limit) for n in n_kernels) <= total:
            return limit
    return 1


def _samples(dataset: DatasetView, layers: dict[str, Row], taps: int, limit: int) -> Iterator[Sample]:
    for digest, kernels in dataset.samples(list(layers)):
        if kernels.shape[1] != taps:
            continue  # the same bytes as kernels of another size
        order = random_generator(dataset.options.seed, "fitted kernels", digest).permutation(len(kernels))
        chosen = np.sort(order[:limit])
        yield Sample(layer=layers[digest], sampled=len(kernels), chosen=chosen, kernels=kernels[chosen])


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Join layers of few kernels, as each step of a fit takes its time however few the kernels are."""
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if sum(len(one.chosen) for one in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(batch: Sequence[Sample], size: tuple[int, int], device: str) -> pa.Table:
    kernels = np.concatenate([one.kernels for one in batch]).reshape(-1, *size)
    gabor, dog = fit_gabor(kernels, device=device), fit_dog(kernels, device=device)
    p = {GABOR: p_values("gabor", size, gabor.r2), DOG: p_values("dog", size, dog.r2)}
    columns: dict[str, Any] = {name: [one.layer[name] for one in batch for _ in one.chosen] for name in _LAYER_COLUMNS}
    for prefix, fitted in (("gabor", gabor), ("dog", dog)):
        for field in fields(fitted):
            columns[f"{prefix}_{field.name}"] = rounded(getattr(fitted, field.name))
    for name in _AT_BOUND:
        columns[name] = [None if value is None else value == 1 for value in columns[name]]
    columns |= {
        "kernel_id": [name for one in batch for name in _kernel_ids(one)],
        "form": describing_models({GABOR: gabor.r2, DOG: dog.r2}, p, math.prod(size)),
        "gabor_p": rounded(p[GABOR]),
        "dog_p": rounded(p[DOG]),
        "values": list(kernels.reshape(len(kernels), -1)),
    }
    return pa.table({name: columns[name] for name in FORM_KERNELS.names}, schema=FORM_KERNELS)


def _kernel_ids(sample: Sample) -> list[str | None]:
    layer = sample.layer
    if layer["layer_sha256"] == layer.get("effective_sha256") and sample.sampled < layer["n_kernels"]:
        return [None] * len(sample.chosen)  # picked by the stored weight, whose digest this view does not have
    positions = np.array(sample_positions(layer["layer_sha256"], layer["n_kernels"], sample.sampled))[sample.chosen]
    inputs = layer["shape"][1]
    return [f"{layer['layer_id']}:{position // inputs}:{position % inputs}" for position in positions.tolist()]


def describing_models(r2: dict[str, Array], p: dict[str, Array], taps: int) -> list[str | None]:
    """Return which model describes each kernel.

    Of those that fit with p <= 0.01 it is the difference of Gaussians, unless the Gabor function explains more than its
    three further parameters would by chance (F test, p <= 0.01).

    Args:
        r2: R² of both models [k].
        p: p-values of both models under independent normal weights [k].
        taps: Weights of a kernel.

    Returns:
        `GABOR`, `DOG` or `NEITHER`; None where there is no fit.
    """
    rest = {form: np.maximum(1 - r2[form], _EXACT) for form in (GABOR, DOG)}
    freedom = taps - _GABOR_PARAMETERS
    statistic = (rest[DOG] / rest[GABOR] - 1) * freedom / _FURTHER
    is_gabor = (p[GABOR] <= LEVEL) & ((p[DOG] > LEVEL) | (f.sf(statistic, _FURTHER, freedom) <= LEVEL))
    names = np.where(is_gabor, GABOR, np.where(p[DOG] <= LEVEL, DOG, NEITHER))
    return [None if np.isnan(known) else str(name) for known, name in zip(p[GABOR], names, strict=True)]
