"""What the sampled kernels of layers tell, and their tests against random weights: the costly part of verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.entropy.null import EntropyNull
from filtercrawl_analysis.statistics.entropy.structure_test import LayerToTest, StructureTests
from filtercrawl_analysis.statistics.layer_inputs import batched, iter_samples, result_key, sample_digests
from filtercrawl_analysis.statistics.quality.kernel_sample import kernel_sample_stats
from filtercrawl_analysis.statistics.quality.outlier_bounds import LayerTotals

Row = dict[str, Any]

_SAMPLED: Final = (
    "dead_share", "dead_low", "dead_high", "outlier_share_low", "outlier_kernels", "distinct_share",
    "one_kernel_share", "near_copy_share", "near_copy_null",
)  # fmt: skip
COLUMNS: Final = (
    *(pa.field(name, pa.int64() if name == "outlier_kernels" else pa.float64()) for name in _SAMPLED),
    pa.field("null", pa.string()),
    pa.field("p_structured", pa.float64()),
    pa.field("p_even", pa.float64()),
    pa.field("power", pa.float64()),
)
# To be raised when a result changes: those that are kept are then computed again.
_VERSION: Final = 1
# Layers that are tested at a time, some tenths of a second.
_BATCH: Final = 64
_INPUTS: Final = (
    "layer_sha256", "kernel_size", "n_dead", "variance_entropy", "n_finite", "power_sums", "max_abs", "kurtosis",
)  # fmt: skip


def layer_tests(dataset: DatasetView, layers: Sequence[Row]) -> pa.Table:
    """Return `COLUMNS` of each layer; random numbers are seeded by its content, and results are kept.

    Args:
        dataset: Has the samples, and the results of earlier runs.
        layers: `layer_sha256, kernel_size, n_dead, variance_entropy` of `index`, `n_finite, power_sums, max_abs` of the
            sketch, and the `kurtosis` of the weights.
    """
    samples = sample_digests(dataset, [layer["layer_sha256"] for layer in layers])
    keys = [
        result_key(_VERSION, dataset.options.seed, samples.get(layer["layer_sha256"]), *map(layer.get, _INPUTS))
        for layer in layers
    ]
    return dataset.layer_results("layer_tests", keys, partial(_test_layers, dataset, layers))


def _test_layers(dataset: DatasetView, layers: Sequence[Row], positions: Sequence[int]) -> pa.Table:
    tested = [{name: layers[position][name] for name in _INPUTS} for position in positions]
    samples = iter_samples(dataset, [layer["layer_sha256"] for layer in tested])
    batches = batched(zip(tested, samples, strict=True), _BATCH)
    rows: list[Row] = []
    for of_batch in dataset.map(partial(_test_batch, dataset.options.seed), batches):
        rows += of_batch
        dataset.progress(len(rows), len(tested), "layers against random weights")
    return pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS))


def _test_batch(seed: int, batch: Sequence[tuple[Row, NDArray[np.float32] | None]]) -> list[Row]:
    """Return the columns of layers from their `_INPUTS` and sampled kernels; no row depends on the others."""
    tests = _structure_tests(seed)
    rows: list[Row] = []
    for layer, sampled in batch:
        kernels, seeds = _finite(sampled), [seed, int(layer["layer_sha256"][:15], 16)]
        to_test = LayerToTest(
            kernels=kernels,
            n_kernels=layer["n_finite"],
            kernel_size=layer["kernel_size"],
            entropy=layer["variance_entropy"],
            kurtosis=layer["kurtosis"],
        )
        rows.append({**_of_kernels(kernels, layer, seeds), **asdict(tests.test(to_test, seeds))})
    return rows


@lru_cache(maxsize=1)
def _structure_tests(seed: int) -> StructureTests:
    """Return the tests of a seed with what they have simulated in this process."""
    return StructureTests(EntropyNull(seed), seed)


def _finite(kernels: NDArray[np.float32] | None) -> Array | None:
    if kernels is None:
        return None
    finite = kernels[np.isfinite(kernels).all(1)].astype(np.float64)
    return finite if len(finite) else None


def _of_kernels(kernels: Array | None, layer: Row, seed: Sequence[int]) -> Row:
    """Return the columns that sampled kernels tell."""
    _, _, energy, _, fourth_powers = layer["power_sums"]
    if kernels is None or not energy > 0:
        return dict.fromkeys(_SAMPLED)
    totals = LayerTotals(
        n_kernels=layer["n_finite"],
        n_low=layer["n_dead"],
        energy=energy,
        fourth_powers=fourth_powers,
        max_abs=layer["max_abs"],
    )
    return asdict(kernel_sample_stats(kernels, totals, seed))
