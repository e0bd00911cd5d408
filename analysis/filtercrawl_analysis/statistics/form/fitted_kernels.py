"""The table of sampled kernels with both fits, how well each explains the kernel, and which form it has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import f

from filtercrawl.api.analysis import DatasetView
from filtercrawl.dataset.tables.samples import sample_positions
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.fits import MIN_SIZE, DogFits, GaborFits, fit_dog, fit_gabor
from filtercrawl_analysis.statistics.form.null import LEVEL, p_values
from filtercrawl_analysis.statistics.form.rounding import rounded
from filtercrawl_analysis.statistics.form.shares import MAX_TAPS

Row = dict[str, Any]
# A row of the index with sampled kernels of the layer [k, taps].
Sample = tuple[Row, NDArray[np.float32]]

GABOR: Final = "gabor"
DOG: Final = "difference of gaussians"
NEITHER: Final = "neither"
# Parameters of a Gabor function, and how many more they are than those of a difference of Gaussians.
_GABOR_PARAMETERS: Final = 9
_FURTHER: Final = 3
# Share of the variance below which what a fit leaves is rounding.
_EXACT: Final = 1e-12
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


def fitted_kernels(dataset: DatasetView) -> pa.Table:
    """Fit both models to the sampled kernels of all layers whose kernels have five taps or more along both axes.

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
    tables = [FORM_KERNELS.empty_table()]
    for size, layers in sorted(by_size.items()):
        samples = ((layers[digest], kernels) for digest, kernels in dataset.samples(list(layers)))
        done = 0
        for batch in _batches((layer, kernels) for layer, kernels in samples if kernels.shape[1] == math.prod(size)):
            tables.append(_rows(batch, size, dataset.options.device))
            done += len(batch)
            dataset.progress(done, len(layers), f"fits to kernels of {size[0]}x{size[1]}")
    return pa.concat_tables(tables)


def _batches(samples: Iterable[Sample]) -> Iterator[list[Sample]]:
    """Join layers of few kernels, as each step of a fit takes its time however few the kernels are."""
    batch: list[Sample] = []
    for sample in samples:
        batch.append(sample)
        if sum(len(kernels) for _, kernels in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(batch: Sequence[Sample], size: tuple[int, int], device: str) -> pa.Table:
    kernels = np.concatenate([kernels for _, kernels in batch]).reshape(-1, *size)
    gabor, dog = fit_gabor(kernels, device=device), fit_dog(kernels, device=device)
    p = {GABOR: p_values("gabor", size, gabor.r2), DOG: p_values("dog", size, dog.r2)}
    columns: dict[str, Any] = {name: [layer[name] for layer, some in batch for _ in some] for name in _LAYER_COLUMNS}
    for prefix, fitted in (("gabor", gabor), ("dog", dog)):
        for field in fields(fitted):
            columns[f"{prefix}_{field.name}"] = rounded(getattr(fitted, field.name))
    for name in _AT_BOUND:
        columns[name] = [None if value is None else value == 1 for value in columns[name]]
    columns |= {
        "kernel_id": [name for layer, some in batch for name in _kernel_ids(layer, len(some))],
        "form": describing_models({GABOR: gabor.r2, DOG: dog.r2}, p, math.prod(size)),
        "gabor_p": rounded(p[GABOR]),
        "dog_p": rounded(p[DOG]),
        "values": list(kernels.reshape(len(kernels), -1)),
    }
    return pa.table({name: columns[name] for name in FORM_KERNELS.names}, schema=FORM_KERNELS)


def _kernel_ids(layer: Row, count: int) -> list[str | None]:
    if layer["layer_sha256"] == layer.get("effective_sha256") and count < layer["n_kernels"]:
        return [None] * count  # picked by the stored weight, whose digest this view does not have
    positions = sample_positions(layer["layer_sha256"], layer["n_kernels"], count)
    inputs = layer["shape"][1]
    return [f"{layer['layer_id']}:{position // inputs}:{position % inputs}" for position in positions]


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
