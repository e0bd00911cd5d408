"""The table of layers with the distance of their weights from initial distributions, and that of models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.merge import unpack_symmetric
from filtercrawl_analysis.statistics.components.coefficients import iter_sketches
from filtercrawl_analysis.statistics.initialization.distance import LayerWeights, init_distances, is_close
from filtercrawl_analysis.statistics.layer_inputs import iter_samples, result_key, sample_digests
from filtercrawl_analysis.statistics.quality.layer_verdicts import layer_verdicts
from filtercrawl_analysis.statistics.quality.weight_moments import weight_moments

Row = dict[str, Any]

UNTRAINED: Final = "looks untrained"
CLOSE: Final = "close to initialization"
DIFFERS: Final = "differs"
TOO_SMALL: Final = "too small"
# Share of a model's judged layers, and of its weights, that must be close to one distribution.
_MOST: Final = 0.5
# Layers so near a distribution's standard deviation are counted as near.
_NEAR: Final = 0.02

_INDEX_COLUMNS: Final = ("layer_id", "model_id", "kernel", "n_kernels", "depth_decile")
_NUMBERS: Final = (
    "mean", "std", "skewness", "kurtosis", "max_abs", "std_error", "std_over_he", "std_over_glorot",
    "std_over_torch_default", "std_ratio", "shape_distance", "law_distance", "bound_ratio", "kernel_correlation",
    "kernel_correlation_of_random", "orthogonality",
)  # fmt: skip
_MODEL_SCHEMA: Final = pa.schema(
    [
        pa.field("model_id", pa.string()),
        pa.field("layers", pa.int64()),
        pa.field("judged_layers", pa.int64()),
        pa.field("close_layers", pa.int64()),
        pa.field("close_share_of_weights", pa.float64()),
        pa.field("untrained_layers", pa.int64()),
        pa.field("law", pa.string()),
        pa.field("near_layers", pa.int64()),
        pa.field("verdict", pa.string()),
    ]
)
_LAWS: Final = ("nearest_law", "close_laws", "untrained_laws")
# Beside the orthogonality, which is in `index`.
_COMPUTED: Final = pa.schema(
    [
        *(pa.field(name, pa.float64()) for name in _NUMBERS[:-1]),
        pa.field("nearest_law", pa.string()),
        pa.field("close_laws", pa.list_(pa.string())),
        pa.field("untrained_laws", pa.list_(pa.string())),
    ]
)
# To be raised when a result changes: those that are kept are then computed again.
_VERSION: Final = 1
# Two analyses of one run need the same table.
_TABLES: Final[WeakKeyDictionary[DatasetView, pa.Table]] = WeakKeyDictionary()


def layer_initialization(dataset: DatasetView) -> pa.Table:
    """Return one row per layer of more than one tap: its weights against initial distributions.

    Columns, beside moments of the weights:
        `std_error`: Relative standard error of `std`, were the weights independent.
        `std_over_he` and others: `std` over that of He's (fan in), Glorot's and torch's default initialization.
        `nearest_law`: The nearest initial distribution; `zeros` and `constant` where no weights differ, `dirac` where
        each filter passes one channel on.
        `std_ratio`, `shape_distance`, `law_distance`: The distances from it, see `InitDistance`.
        `bound_ratio`: The largest magnitude over the largest that it has; null if it has no bound.
        `kernel_correlation`: Root mean square correlation of two taps, and what is expected of independent ones.
        `close_laws`: The distributions that the layer is close to, see `is_close`; null where it has too few weights to
        tell.
        `untrained_laws`: Those of them that it may be a draw from, as no weights lie beyond their bound.
    """
    if dataset not in _TABLES:
        _TABLES[dataset] = _layer_table(dataset)
    return _TABLES[dataset]


def _layer_table(dataset: DatasetView) -> pa.Table:
    index = dataset.index.filter(pc.greater(dataset.index["taps"], 1))
    verdicts = layer_verdicts(dataset)["verdict"].to_pylist()
    layers = index.select(["layer_sha256", "shape", "groups", "orthogonality"]).to_pylist()
    samples = sample_digests(dataset, index["layer_sha256"].to_pylist())
    keys, n_weights = [], []
    for layer, verdict, sketch in zip(layers, verdicts, _sketch_rows(dataset, index), strict=True):
        layer["looks_random"] = {"random": True, "too small": None, None: None}.get(verdict, False)
        keys.append(
            result_key(_VERSION, samples.get(layer["layer_sha256"]), list(layer.values()), list(sketch.values()))
        )
        n_weights.append(int(sketch["power_sums"][0]))
    computed = dataset.layer_results("layer_initialization", keys, partial(_compare, dataset, index, layers))
    columns = {name: index[name] for name in _INDEX_COLUMNS}
    columns |= {"n_weights": pa.array(n_weights, pa.int64())}
    columns |= {name: computed[name] for name in _NUMBERS[:-1]} | {"orthogonality": index["orthogonality"]}
    return pa.table(columns | {name: computed[name] for name in _LAWS})


def _compare(dataset: DatasetView, index: pa.Table, layers: Sequence[Row], positions: Sequence[int]) -> pa.Table:
    """Return what layers have of `_COMPUTED`."""
    here = index.take(pa.array(positions, pa.int64()))
    samples = iter_samples(dataset, here["layer_sha256"].to_pylist())
    rows = []
    for position, sketch, sampled in zip(positions, _sketch_rows(dataset, here), samples, strict=True):
        rows.append(_weight_columns(layers[position], sketch, sampled))
        dataset.progress(len(rows), len(positions), "weights against initializations")
    return pa.Table.from_pylist(rows, schema=_COMPUTED)


def _sketch_rows(dataset: DatasetView, index: pa.Table) -> Iterator[Row]:
    for _, sketches in iter_sketches(dataset, index):
        yield from sketches.select(["n_finite", "power_sums", "max_abs", "raw_mean", "raw_scatter"]).to_pylist()


def _weight_columns(layer: Row, sketch: Row, sampled: NDArray[np.float32] | None) -> Row:
    moments = weight_moments(sketch["power_sums"], sketch["max_abs"])
    row: Row = {"max_abs": sketch["max_abs"], **_kernel_correlation(sketch)}
    if moments is None:
        constant = sketch["power_sums"][0] > 1
        return row | {"nearest_law": ("constant" if sketch["max_abs"] else "zeros") if constant else None}
    weights = LayerWeights(
        shape=layer["shape"],
        groups=layer["groups"] or 1,
        moments=moments,
        sampled=np.empty(0) if sampled is None else sampled[np.isfinite(sampled)].astype(np.float64),
        orthogonality=layer["orthogonality"],
        looks_random=layer["looks_random"],
    )
    distances = init_distances(weights)
    by_name = {distance.law.name: distance for distance in distances}
    nearest = distances[0]
    close = [distance for distance in distances if is_close(weights, distance)]
    is_judged = is_close(weights, nearest) is not None
    row |= {
        "mean": moments.mean,
        "std": moments.std,
        "skewness": moments.skewness,
        "kurtosis": moments.kurtosis,
        "std_error": math.sqrt(max(0.0, moments.kurtosis + 2) / (4 * moments.n)),
        "std_over_he": by_name["he normal, fan in"].std_ratio,
        "std_over_glorot": by_name["glorot normal"].std_ratio,
        "std_over_torch_default": by_name["torch default"].std_ratio,
    }
    if _is_dirac(weights):
        return row | {"nearest_law": "dirac", "close_laws": ["dirac"], "untrained_laws": ["dirac"]}
    return row | {
        "nearest_law": nearest.law.name,
        "std_ratio": nearest.std_ratio,
        "shape_distance": nearest.shape_distance,
        "law_distance": nearest.total,
        "bound_ratio": nearest.bound_ratio,
        "close_laws": [distance.law.name for distance in close] if is_judged else None,
        "untrained_laws": [distance.law.name for distance in close if not distance.beyond_bound] if is_judged else None,
    }


def _kernel_correlation(sketch: Row) -> Row:
    n, mean, scatter = sketch["n_finite"], sketch["raw_mean"], sketch["raw_scatter"]
    if mean is None or scatter is None or n < 1:
        return {}
    second = unpack_symmetric(np.array([scatter], np.float64))[0] + n * np.outer(mean, mean)
    scale = np.sqrt(np.diag(second))
    if not scale.all():
        return {}
    correlations = (second / np.outer(scale, scale))[np.triu_indices(len(second), 1)]
    return {
        "kernel_correlation": float(np.sqrt((correlations**2).mean())),
        "kernel_correlation_of_random": 1 / math.sqrt(n),
    }


def _is_dirac(weights: LayerWeights) -> bool:
    """Return whether all weights are 0 or 1, and each filter, or each channel, has one 1 (torch's `dirac_`)."""
    ones = weights.groups * min(weights.shape[0] // weights.groups, weights.shape[1])
    moments = weights.moments
    total, squares = moments.mean * moments.n, (moments.std**2 + moments.mean**2) * moments.n
    return bool(
        moments.max_abs == 1
        and math.isclose(total, ones, rel_tol=1e-9)
        and math.isclose(squares, ones, rel_tol=1e-9)
        and np.isin(weights.sampled, (0, 1)).all()
    )


def model_initialization(layers: pa.Table) -> pa.Table:
    """Return one row per model: how many of its layers are close to one distribution, and may be draws from it.

    The verdict is `looks untrained` if the close ones are more than half of its judged layers, hold more than half of
    its weights, and may all be draws; `close to initialization` if some of them hold weights beyond the distribution's
    bound, so that they were trained; else `too small` if judged layers hold at most half of its weights, else
    `differs`. `near_layers` are those whose nearest distribution it is, and whose standard deviation is within 2 % of
    it. The distribution is the one that most layers may be draws from, then that most are close to.

    Args:
        layers: A table of `layer_initialization`.

    Returns:
        Models with a layer, in the order of the table.
    """
    by_model: dict[str, list[Row]] = {}
    names = ("model_id", "n_weights", "close_laws", "untrained_laws", "nearest_law", "std_ratio")
    for row in layers.select(names).to_pylist():
        by_model.setdefault(row["model_id"], []).append(row)
    return pa.Table.from_pylist([_model_row(name, rows) for name, rows in by_model.items()], schema=_MODEL_SCHEMA)


def _model_row(model_id: str, layers: Sequence[Row]) -> Row:
    judged = [row for row in layers if row["close_laws"] is not None]
    law = _law_of_most(judged)
    close = [row for row in judged if law in row["close_laws"]]
    n_untrained = sum(law in row["untrained_laws"] for row in close)
    weights, judged_weights, close_weights = (sum(row["n_weights"] for row in rows) for rows in (layers, judged, close))
    share = close_weights / weights if weights else 0.0
    if len(close) > _MOST * len(judged) and share > _MOST:
        verdict = UNTRAINED if n_untrained == len(close) else CLOSE
    else:
        verdict = TOO_SMALL if judged_weights <= _MOST * weights else DIFFERS
    return {
        "model_id": model_id,
        "layers": len(layers),
        "judged_layers": len(judged),
        "close_layers": len(close),
        "close_share_of_weights": share,
        "untrained_layers": n_untrained,
        "law": law,
        "near_layers": sum(
            row["nearest_law"] == law and abs(math.log(row["std_ratio"] or 1.0)) <= _NEAR for row in layers if law
        ),
        "verdict": verdict,
    }


def _law_of_most(judged: Sequence[Row]) -> str | None:
    untrained, close = (
        Counter(law for row in judged for law in row[name]) for name in ("untrained_laws", "close_laws")
    )
    nearest = Counter(row["nearest_law"] for row in judged)
    return min(close, key=lambda law: (-untrained[law], -close[law], -nearest[law], law), default=None)
