"""Figures of the analysis `published`: the paper's own figures, beside the paper's values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from filtercrawl.api.analysis import Figure
from filtercrawl_analysis.plots.published import drift_scatters, entropy_over_sparsity, explained_variance_bars
from filtercrawl_analysis.statistics.groups.labels import sample_size
from filtercrawl_analysis.statistics.quality.paper_thresholds import LOW_ENTROPY, MANY_DEAD, TAPS

Row = dict[str, Any]


def published_figures(layers: pa.Table, rows: Sequence[Row], models: pa.Table) -> Iterator[Figure]:
    """Yield the figures of the 3x3 kernels.

    Args:
        layers: Layers of 3x3 kernels.
        rows: Rows of the table of published values.
        models: Means over layers of each model.
    """
    basis = sample_size(layers)
    yield Figure(
        name="published_explained_variance",
        title="Explained variance of 3x3 kernels, here and in CNN Filter DB",
        caption="Bars: this dataset, with 95 % intervals over models where there are three. Diamonds: CNN Filter DB. "
        "The same definition, kernels of other models.",
        basis=basis,
        table="published",
        draw=partial(explained_variance_bars, rows=[row for row in rows if row["what"] == "explained_variance"]),
        height=3.4,
    )
    # D depends on basis and range: values of another definition are in the table, but not in a figure.
    drifts = [row for row in rows if row["what"].startswith("drift_") and row["comparable"]]
    columns = list(dict.fromkeys(row["what"] for row in drifts))
    if columns:
        panels = [
            (what.removeprefix("drift_").replace("_", " "), [row for row in drifts if row["what"] == what])
            for what in columns
        ]
        yield Figure(
            name="published_drift",
            title="Drift of 3x3 kernels, here and in CNN Filter DB",
            caption="One mark per pair of groups: D of this dataset over D of CNN Filter DB, read off a figure, with "
            "the error of reading. The same definition; components and range are those of each dataset. Below the "
            "floor nothing can be told here: equal distributions would have as much.",
            basis=basis,
            table="published",
            draw=partial(drift_scatters, panels=panels),
            height=1.6 + 4.2 / len(panels),
        )
    if len(models):
        yield Figure(
            name="published_entropy",
            title="Variance entropy and sparsity of models",
            caption="One mark per model, the mean over its layers of 3x3 kernels; color and shape show the families "
            "with the most models, and numbers name the models farthest from the median one. The hatched area is where "
            "the paper calls a layer degenerate for low entropy and many dead kernels; that for high entropy depends "
            "on the number of kernels. The line is the entropy of kernels of equal variance in all directions. The "
            "paper gives no values of single models.",
            basis=basis,
            table="published_models",
            draw=partial(
                entropy_over_sparsity,
                rows=models.to_pylist(),
                sparsity=MANY_DEAD,
                entropy=LOW_ENTROPY,
                top=math.log10(TAPS),
            ),
            height=5.6,
        )
