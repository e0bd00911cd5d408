"""Shares of the named forms among depthwise kernels, by group, with models as the unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import t, wilcoxon

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.templates import NAMES, name_kernels
from filtercrawl_analysis.statistics.groups.labels import Labels, group_labels, ordered_labels
from filtercrawl_analysis.statistics.groups.model_medians import LEVEL, MIN_MODELS, adjust, verdict
from filtercrawl_analysis.statistics.groups.resampling import random_generator

Row = dict[str, Any]

# The group and the column of all layers of a kernel size.
ALL: Final = "all"
# Kernels of more taps are left out: their templates would be many.
MAX_TAPS: Final = 1024
SHARES: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("column", "kernel", "group", "form")),
        *(pa.field(name, pa.float64()) for name in ("share", "low", "high", "chance", "p", "q")),
        pa.field("verdict", pa.string()),
        *(pa.field(name, pa.int64()) for name in ("models", "layers", "kernels", "sampled")),
    ]
)


@dataclass(frozen=True, kw_only=True)
class LayerForms:
    """Forms of the sampled kernels of depthwise layers.

    Attributes:
        layers: Rows of the index of those layers that have samples.
        named: Kernels of each name in each layer, int64 [layers, names].
        shuffled: The same of the kernels with their weights in random order.
    """

    layers: pa.Table
    named: NDArray[np.int64]
    shuffled: NDArray[np.int64]


def layer_forms(dataset: DatasetView) -> LayerForms:
    """Name the sampled kernels of all depthwise layers of two axes, each of three taps or more."""
    index = dataset.index
    sizes = index["kernel_size"].to_pylist()
    fits = [len(size) == 2 and min(size) >= 3 and math.prod(size) <= MAX_TAPS for size in sizes]
    index = index.filter(pc.and_(pc.fill_null(index["depthwise"], False), pa.array(fits, pa.bool_())))
    of_layer = {digest: i for i, digest in enumerate(index["layer_sha256"].to_pylist())}
    sizes = index["kernel_size"].to_pylist()
    named, shuffled = (np.zeros((len(index), len(NAMES)), np.int64) for _ in range(2))
    for done, (digest, kernels) in enumerate(dataset.samples(list(of_layer))):
        row = of_layer[digest]
        if kernels.shape[1] != math.prod(sizes[row]):
            continue  # the same bytes as kernels of another size
        usable = kernels[np.isfinite(kernels).all(1) & kernels.any(1)]
        random = random_generator(dataset.options.seed, "named forms", digest)
        found = name_kernels(usable, tuple(sizes[row]), random)
        named[row], shuffled[row] = (_counts(names) for names in (found.names, found.shuffled))
        dataset.progress(done + 1, len(of_layer), "names of depthwise kernels")
    known = named.any(1)
    return LayerForms(layers=index.filter(pa.array(known)), named=named[known], shuffled=shuffled[known])


def _counts(names: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.array([(names == name).sum() for name in NAMES], np.int64)


def form_shares(forms: LayerForms, by: Sequence[str]) -> pa.Table:
    """Return the share of each form in each group: the mean over models of the share of their kernels.

    The interval is that of the mean of as many models (Student's t). p is of Wilcoxon's signed-rank test of the shares
    of models against those of the same kernels with their weights in random order.

    Args:
        forms: Forms of layers.
        by: Columns whose groups are told apart, beside depth and family.

    Returns:
        Rows of `SHARES`.
    """
    layers = forms.layers
    columns: dict[str, Labels] = {ALL: [ALL] * len(layers)}
    columns |= {name: group_labels(layers, name) for name in dict.fromkeys(("depth_decile", "family", *by))}
    n_kernels = np.array(layers["n_kernels"].to_pylist(), np.int64)
    kernel_of = np.array(layers["kernel"].to_pylist(), object)
    models = np.array(layers["model_id"].to_pylist(), object)
    rows: list[Row] = []
    for column, labels in columns.items():
        groups = ordered_labels(labels, n_kernels)
        if len(groups) < 2 and column != ALL:
            continue
        label_of = np.array([label or "" for label in labels], object)
        for kernel in ordered_labels(kernel_of.tolist(), n_kernels):
            for group in groups:
                member = (kernel_of == kernel) & (label_of == group)
                if member.any():
                    key = {"column": column, "kernel": kernel, "group": group}
                    counts = {"layers": int(member.sum()), "kernels": int(n_kernels[member].sum())}
                    sampled = {"sampled": int(forms.named[member].sum())}
                    weight = n_kernels[member]
                    real, chance = (
                        _model_shares(counted[member], weight, models[member])
                        for counted in (forms.named, forms.shuffled)
                    )
                    rows += [key | row | counts | sampled for row in _form_rows(real, chance)]
    for row, q in zip(rows, adjust([row["p"] for row in rows]), strict=True):
        row["q"] = q
        row["verdict"] = verdict(q, row["share"] - row["chance"])
    return pa.Table.from_pylist(rows, schema=SHARES)


def _model_shares(counted: NDArray[np.int64], weight: NDArray[np.int64], models: NDArray[np.object_]) -> Array:
    """Return the share of each form among the kernels of each model [models, names]; a layer counts by its kernels."""
    _, of_model = np.unique(models.astype(str), return_inverse=True)
    totals = np.zeros((of_model.max() + 1, len(NAMES)))
    np.add.at(totals, of_model, counted / counted.sum(1, keepdims=True) * weight[:, None])
    shares: Array = totals / totals.sum(1, keepdims=True)
    return shares


def _form_rows(real: Array, chance: Array) -> Iterator[Row]:
    for i, name in enumerate(NAMES):
        low, high = mean_interval(real[:, i]) or (None, None)
        yield {
            "form": name,
            "share": float(real[:, i].mean()),
            "low": low,
            "high": high,
            "chance": float(chance[:, i].mean()),
            "p": _signed_rank(real[:, i] - chance[:, i]),
            "models": len(real),
        }


def mean_interval(shares: Array) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of shares, one of each model; None for fewer than five models."""
    n = len(shares)
    if n < MIN_MODELS:
        return None
    half = float(t.ppf(1 - LEVEL / 2, n - 1) * shares.std(ddof=1) / math.sqrt(n))
    mean = float(shares.mean())
    return max(0.0, mean - half), min(1.0, mean + half)


def _signed_rank(differences: Array) -> float | None:
    """Return the p-value of differences that are symmetric about 0; None where so few models cannot give 0.05."""
    if 2 * 0.5 ** int((differences != 0).sum()) > LEVEL:
        return None
    return float(wilcoxon(differences).pvalue)
