"""Explained variance of all kernels of a size and of groups of layers, with intervals and tests over models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from filtercrawl_analysis.numerics.moments import Array, Moments
from filtercrawl_analysis.statistics.components.alignment import align_components
from filtercrawl_analysis.statistics.components.pca import (
    PrincipalComponents,
    explained_variance_along,
    principal_components,
)
from filtercrawl_analysis.statistics.components.share_intervals import (
    are_distinct,
    compare_shares,
    jackknife_shares,
    ordered_shares,
    share_intervals,
    shares_along,
)
from filtercrawl_analysis.statistics.groups.labels import LayerGroups, ordered_labels, sample_size
from filtercrawl_analysis.statistics.groups.model_medians import adjust, verdict

Row = dict[str, Any]

_COUNTS: Final = [pa.field(name, pa.int64()) for name in ("models", "layers", "kernels")]
COMPONENTS: Final = pa.schema(
    [
        pa.field("kernel", pa.string()),
        pa.field("component", pa.int32()),
        *(pa.field(name, pa.float64()) for name in ("explained_variance", "low", "high")),
        pa.field("distinct", pa.bool_()),
        pa.field("vector", pa.list_(pa.float64())),
        pa.field("mean", pa.list_(pa.float64())),
        *_COUNTS,
    ]
)
GROUPS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group")),
        pa.field("component", pa.int32()),
        *(
            pa.field(name, pa.float64())
            for name in ("explained_variance", "low", "high", "along_all", "rest", "p", "q")
        ),
        pa.field("verdict", pa.string()),
        pa.field("distinct", pa.bool_()),
        pa.field("nearest", pa.int32()),
        pa.field("cosine", pa.float64()),
        pa.field("vector", pa.list_(pa.float64())),
        *_COUNTS,
    ]
)


@dataclass(frozen=True, kw_only=True)
class SizeComponents:
    """The layers of one kernel size and their principal components.

    Attributes:
        layers: Rows of the index.
        units: The layers combined into units.
        moments: Moments of the scaled kernels of each unit.
        components: Principal components of all kernels.
        low: Lower ends of the intervals of their explained variance [components]; None with too few models.
        high: Upper ends.
    """

    layers: pa.Table
    units: LayerGroups
    moments: Moments
    components: PrincipalComponents
    low: Array | None
    high: Array | None

    @property
    def kernel(self) -> str:
        """The kernel size, such as `3x3`."""
        return str(self.layers["kernel"][0].as_py())

    @property
    def models(self) -> NDArray[np.int64]:
        """Code of the model of each unit [units]."""
        return np.unique(np.array(self.units.labels["model_id"]), return_inverse=True)[1].astype(np.int64)

    @property
    def distinct(self) -> NDArray[np.bool_] | None:
        """Whether each component's interval overlaps with no neighbor's; None without intervals."""
        return None if self.low is None or self.high is None else are_distinct(self.low, self.high)


def components_of_size(layers: pa.Table, units: LayerGroups, moments: Moments) -> SizeComponents | None:
    """Return the principal components of all kernels of a size; None where no two kernels differ."""
    components = principal_components(moments.total())
    if components is None:
        return None
    models = np.unique(np.array(units.labels["model_id"]), return_inverse=True)[1].astype(np.int64)
    replicates = jackknife_shares(moments, models, ordered_shares)
    low, high = (None, None) if replicates is None else share_intervals(replicates)
    return SizeComponents(layers=layers, units=units, moments=moments, components=components, low=low, high=high)


def component_rows(size: SizeComponents) -> Iterator[Row]:
    """Yield the rows of `COMPONENTS` of one kernel size."""
    counts, distinct, components = vars(sample_size(size.layers)), size.distinct, size.components
    for component, (vector, share) in enumerate(zip(components.vectors, components.explained_variance, strict=True)):
        yield {
            "kernel": size.kernel,
            "component": component,
            "explained_variance": float(share),
            "low": None if size.low is None else float(size.low[component]),
            "high": None if size.high is None else float(size.high[component]),
            "distinct": None if distinct is None else bool(distinct[component]),
            "vector": vector.tolist(),
            "mean": components.mean.tolist(),
            **counts,
        }


def group_rows(size: SizeComponents, column: str) -> Iterator[Row]:
    """Yield the rows of `GROUPS` of one kernel size and column, without q and verdict: see `adjust_rows`."""
    labels = size.units.labels[column]
    layer_labels = [labels[unit] for unit in size.units.unit_of_layer.tolist()]
    known = np.array([label is not None for label in labels])
    along = shares_along(size.components.vectors)
    for group in ordered_labels(layer_labels, np.array(size.layers["n_kernels"].to_pylist(), np.int64)):
        member = np.array([label == group for label in labels])
        inside, outside = _select(size.moments, member), _select(size.moments, known & ~member)
        own = principal_components(inside.total())
        own_along = explained_variance_along(inside.total(), size.components.vectors)
        if own is None or own_along is None:
            continue
        rest = explained_variance_along(outside.total(), size.components.vectors) if len(outside.n) else None
        replicates = jackknife_shares(inside, size.models[member], ordered_shares)
        low, high = (None, None) if replicates is None else share_intervals(replicates)
        distinct = None if low is None or high is None else are_distinct(low, high)
        aligned = align_components(own.vectors, size.components.vectors)
        first = jackknife_shares(inside, size.models[member], along)
        second = jackknife_shares(outside, size.models[known & ~member], along)
        p_values = None if first is None or second is None else compare_shares(first, second)
        counts = vars(sample_size(size.layers.filter(pa.array([label == group for label in layer_labels]))))
        for component, share in enumerate(own.explained_variance.tolist()):
            yield {
                "column": column,
                "kernel": size.kernel,
                "group": group,
                "component": component,
                "explained_variance": share,
                "low": None if low is None else float(low[component]),
                "high": None if high is None else float(high[component]),
                "along_all": float(own_along[component]),
                "rest": None if rest is None else float(rest[component]),
                "p": None if p_values is None else float(p_values[component]),
                "distinct": None if distinct is None else bool(distinct[component]),
                "nearest": int(aligned.nearest[component]),
                "cosine": float(aligned.cosine[component]),
                "vector": aligned.vectors[component].tolist(),
                **counts,
            }


def adjust_rows(rows: Sequence[Row]) -> None:
    """Set q and the verdict of all rows of `GROUPS`, which are one family of tests."""
    for row, q in zip(rows, adjust([row["p"] for row in rows]), strict=True):
        row["q"] = q
        row["verdict"] = None if row["rest"] is None else verdict(q, row["along_all"] - row["rest"])


def _select(moments: Moments, mask: NDArray[np.bool_]) -> Moments:
    return Moments(n=moments.n[mask], mean=moments.mean[mask], scatter=moments.scatter[mask])
