"""Whether forms of depthwise kernels become more or less frequent with depth, within models."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import spearmanr

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.form.shares import LayerForms
from filtercrawl_analysis.statistics.form.templates import NAMES
from filtercrawl_analysis.statistics.groups.labels import ordered_labels
from filtercrawl_analysis.statistics.groups.model_medians import adjust, median_interval, sign_test, verdict

# Layers that a model needs, with at least two depths and two shares.
MIN_LAYERS: Final = 4
DEPTH_TRENDS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("kernel", "form")),
        *(pa.field(name, pa.float64()) for name in ("depth_correlation", "low", "high", "p", "q")),
        pa.field("verdict", pa.string()),
        pa.field("models", pa.int64()),
    ]
)


def depth_trends(forms: LayerForms) -> pa.Table:
    """Return the rank correlation (Spearman) of the share of each form with depth, as the median over models.

    Each correlation is over the layers of one model and kernel size, four or more. p is of the sign test of
    correlations that are as often above as below 0.

    Returns:
        Rows of `DEPTH_TRENDS`; none for a form whose share differs in no model.
    """
    known = pc.is_valid(forms.layers["conv_depth"]).to_numpy()
    layers = forms.layers.filter(pa.array(known))
    shares = forms.named[known] / forms.named[known].sum(1, keepdims=True)
    depth = np.array(layers["conv_depth"].to_pylist(), np.float64)
    kernels, models = (np.array(layers[name].to_pylist(), object) for name in ("kernel", "model_id"))
    rows: list[dict[str, Any]] = []
    for kernel in ordered_labels(kernels.tolist(), np.array(layers["n_kernels"].to_pylist(), np.int64)):
        of_models = [(kernels == kernel) & (models == model) for model in sorted(set(models[kernels == kernel]))]
        for i, form in enumerate(NAMES):
            found = [correlation(depth[member], shares[member, i]) for member in of_models]
            if correlations := [value for value in found if value is not None]:
                low, high = median_interval(correlations) or (None, None)
                rows.append(
                    {
                        "kernel": kernel,
                        "form": form,
                        "depth_correlation": float(np.median(correlations)),
                        "low": low,
                        "high": high,
                        "p": sign_test(correlations, 0.0),
                        "models": len(correlations),
                    }
                )
    for row, q in zip(rows, adjust([row["p"] for row in rows]), strict=True):
        row |= {"q": q, "verdict": verdict(q, row["depth_correlation"])}
    return pa.Table.from_pylist(rows, schema=DEPTH_TRENDS)


def correlation(depth: Array, share: Array) -> float | None:
    """Return the rank correlation of depth and share [layers]; None for few layers, or where either does not differ."""
    if len(depth) < MIN_LAYERS or np.ptp(depth) == 0 or np.ptp(share) == 0:
        return None
    return float(spearmanr(depth, share).statistic)
