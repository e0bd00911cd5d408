"""The Python function behind `filtercrawl compare`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.extras import require_extra
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.progress import Progress
from filtercrawl.config import resolve
from filtercrawl.display import open_progress
from filtercrawl.pipeline.checkpoint_layers import CheckpointLayer
from filtercrawl_analysis.comparison.checkpoint import ComparedCheckpoint, open_checkpoint
from filtercrawl_analysis.comparison.layer_drift import has_drift, layer_drift
from filtercrawl_analysis.comparison.report import LAYERS, ComparisonReport
from filtercrawl_analysis.numerics.one_thread import one_thread
from filtercrawl_analysis.statistics.lineage.filter_matching import (
    FilterMatch,
    Order,
    can_match,
    carry_inputs,
    change_of_sorted,
    match_filters,
    order_of_outputs,
)
from filtercrawl_analysis.statistics.lineage.layer_matching import MatchedBy, match_layers
from filtercrawl_analysis.statistics.lineage.layer_pair import LayerPair, Weights, compare_weights
from filtercrawl_analysis.statistics.lineage.relation import MIN_ORDERED_CHANGE, is_related, judge

# Relative difference of squared norms up to which a layer may be another one in another order.
_NORMS: Final = 1e-3


def compare(
    a: str | PathLike[str],
    b: str | PathLike[str],
    *,
    dataset: str | PathLike[str] | None = None,
    progress: bool | Progress | None = None,
    plugins: Plugins | None = None,
) -> ComparisonReport:
    """Compare the convolutions of two checkpoints layer by layer, and tell how they are related.

    Layers correspond by name and shape; the others by their order among those of the same shape. For each pair: cosine,
    change `|a - b| / |a|`, the same after the best permutation of the filters, drift D, and whether they are equal bit
    for bit. Memory is that of the largest layer. A worker process reads files, within the limits of `inspect`.

    Args:
        a: A file, a selector that names one checkpoint, or with `dataset` the model_id of one in it.
        b: The same.
        dataset: A folder or repository to find models in; it holds the layers that were synchronized, so by default no
            pointwise ones.
        progress: True for a progress bar, False for none, or an object that receives the progress. By default a bar in
            a notebook or an interactive session.
        plugins: Sources and readers; by default those of all installed plugins.

    Raises:
        UsageError: Nothing, or more than one checkpoint, has one of these names; or SciPy is missing, which the extra
            `analysis` brings.
        CheckpointError: A file cannot be read, or has no convolutions.
        DatasetError: There is no dataset, or it cannot be read.
        NetworkError: A server does not answer.

    Example:
        >>> report = filtercrawl.compare("base.safetensors", "tuned.safetensors")
        >>> report.verdict, report.to_pandas()
    """
    settings, plugins = resolve({}, keywords=True), plugins or load_plugins()
    require_extra("compare", "analysis", "scipy")
    with (
        open_checkpoint(a, dataset, plugins, settings) as first,
        open_checkpoint(b, dataset, plugins, settings) as second,
        open_progress(progress, "comparing") as shown,
        one_thread(),  # the same digits on any machine; most matrices are small, and threads would wait for each other
    ):
        for checkpoint in (first, second):
            if not checkpoint.layers:
                raise CheckpointError(
                    f"{checkpoint.name}: has no convolutions, and nothing else is compared; `filtercrawl inspect` "
                    "shows its tensors"
                )
        return compare_checkpoints(first, second, shown)


def compare_checkpoints(a: ComparedCheckpoint, b: ComparedCheckpoint, progress: Progress) -> ComparisonReport:
    """Compare two checkpoints that are open."""
    matches = match_layers(a.layers, b.layers)
    pairs: list[LayerPair] = []
    rows: list[dict[str, Any]] = []
    stored: dict[int, tuple[FilterMatch, Order]] = {}
    changes: list[float | None] = []
    for number, (i, j, matched_by) in enumerate(matches.pairs):
        first, second = a.layers[i], b.layers[j]
        progress.step(number, len(matches.pairs), first.tensor)
        weight_a, weight_b = first.read(), second.read()
        pairs.append(compare_weights(weight_a, weight_b))
        rows.append(_row(first, second, matched_by, pairs[-1]))
        if pairs[-1].equal_values:
            rows[-1] |= _unchanged(first, pairs[-1])
            changes.append(pairs[-1].relative_change)
            continue
        rows[-1]["drift"] = layer_drift(weight_a, weight_b)
        changes.append(_change_of_sorted(weight_a, weight_b, pairs[-1]))
        if can_match(weight_a, weight_b):
            match = match_filters(weight_a, weight_b)
            stored[number] = match, _order_of_outputs(weight_a, weight_b, pairs[-1], match)
            rows[-1] |= _match_columns(match)
    orders = _distinct(order for _, order in stored.values())
    for number, (match, order) in stored.items():
        i, j, _ = matches.pairs[number]
        first, second = a.layers[i], b.layers[j]
        inputs = [known for known in orders if len(known) == first.shape[1]]
        if inputs and match.relative_change and first.groups in (1, None):
            rows[number] |= _match_columns(carry_inputs(first.read(), second.read(), match, order, inputs))
    return ComparisonReport(
        a=a.name,
        b=b.name,
        layers=pa.Table.from_pylist(rows, schema=LAYERS),
        only_a=tuple(_described(a.layers[i] for i in matches.only_a)),
        only_b=tuple(_described(b.layers[j] for j in matches.only_b)),
        judgement=judge(
            pairs, [_smaller(row["matched_change"], change) for row, change in zip(rows, changes, strict=True)]
        ),
    )


def _order_of_outputs(a: Weights, b: Weights, pair: LayerPair, match: FilterMatch) -> Order:
    """Return the order of the filters of b whatever that of its inputs; as stored where the layers are related so."""
    return match.order if not match.moved and is_related([pair]) else order_of_outputs(a, b)


def _change_of_sorted(a: Weights, b: Weights, pair: LayerPair) -> float | None:
    """Return the change after every order is undone, also that of taps; None where norms differ or nothing is far."""
    far = (pair.relative_change or 0.0) >= MIN_ORDERED_CHANGE
    equal_norms = abs(pair.square_a - pair.square_b) <= _NORMS * pair.square_a
    return change_of_sorted(a, b) if far and equal_norms and can_match(a, b) else None


def _smaller(a: float | None, b: float | None) -> float | None:
    return min((value for value in (a, b) if value is not None), default=None)


def _distinct(orders: Iterable[Order]) -> list[Order]:
    """Return the orders that are not as stored, each once."""
    found = {order.tobytes(): order for order in orders if (order != np.arange(len(order))).any()}
    return list(found.values())


def _row(a: CheckpointLayer, b: CheckpointLayer, matched_by: MatchedBy, pair: LayerPair) -> dict[str, Any]:
    return {
        "layer_a": a.tensor,
        "layer_b": b.tensor,
        "matched_by": matched_by,
        "shape": a.shape,
        "dtype_a": a.dtype,
        "dtype_b": b.dtype,
        "frozen": pair.equal,
        "nonfinite_a": pair.nonfinite_a,
        "nonfinite_b": pair.nonfinite_b,
        "cosine": pair.cosine,
        "relative_change": pair.relative_change,
        "correlation": pair.correlation,
        "z": pair.z,
        "matched_change": None,
    }


def _unchanged(layer: CheckpointLayer, pair: LayerPair) -> dict[str, Any]:
    """Return what matching and drift give for equal layers."""
    drift = 0.0 if pair.n and has_drift(layer.shape[2:]) else None
    return {"matched_change": pair.relative_change, "moved_filters": 0, "inputs": "as stored", "drift": drift}


def _match_columns(match: FilterMatch) -> dict[str, Any]:
    return {"matched_change": match.relative_change, "moved_filters": match.moved, "inputs": match.inputs}


def _described(layers: Iterator[CheckpointLayer]) -> Iterator[str]:
    for layer in layers:
        yield f"{layer.tensor} ({'x'.join(map(str, layer.shape))})"
