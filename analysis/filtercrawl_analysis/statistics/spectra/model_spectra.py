"""The table of models: how many of their layers have a spectrum that random layers do not have."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy.stats import betabinom

from filtercrawl_analysis.statistics.groups.model_medians import HIGHER, LOWER, NOT_TOLD_APART, adjust, verdict
from filtercrawl_analysis.statistics.spectra.random_spectra import LAYERS

# Measures that are compared with those of random layers, by the prefix of their columns.
COMPARED: Final = ("alpha", "soft_rank")
_COUNTS: Final = {"lower": LOWER, "not_told_apart": NOT_TOLD_APART, "higher": HIGHER}
_MEDIANS: Final = (
    "alpha", "alpha_ratio", "ks_distance", "mp_soft_rank", "soft_rank_ratio", "stable_rank_share",
    "effective_rank_share", "decay_exponent", "operator_norm",
)  # fmt: skip
_SCHEMA: Final = pa.schema(
    [
        pa.field("model_id", pa.string()),
        pa.field("layers", pa.int64()),
        *(
            field
            for name in COMPARED
            for field in (
                *(pa.field(f"{name}_{count}", pa.int64()) for count in ("fitted", *_COUNTS)),
                *(pa.field(f"{name}_{number}", pa.float64()) for number in ("p", "q")),
                pa.field(f"{name}_verdict", pa.string()),
            )
        ),
        *(pa.field(f"{name}_median", pa.float64()) for name in _MEDIANS),
    ]
)


def model_spectra(layers: pa.Table) -> pa.Table:
    """Return one row per model, sorted by its id.

    Columns, for alpha and for the soft rank:
        `_fitted`: Layers that have it, and random layers of their shape to compare with.
        `_lower`, `_not_told_apart`, `_higher`: Those of them with this verdict.
        `_p`, `_q`: Probability of so many `_lower` ones if all layers were random; and adjusted over the models. Layers
            of one shape are compared with the same random ones, so their number has a beta-binomial distribution,
            which is also assumed for layers of different shapes, where it is wider than theirs.
        `_verdict`: Whether the model has more `_lower` layers than chance; see `model_medians.verdict`.

    The others are medians over layers.
    """
    models = np.array(layers["model_id"].to_pylist())
    verdicts = {name: np.array([text or "" for text in layers[f"{name}_verdict"].to_pylist()]) for name in COMPARED}
    values = {name: layers[name].cast(pa.float64()).to_numpy() for name in _MEDIANS}
    rows: list[dict[str, Any]] = []
    for model in sorted(set(models.tolist())):
        member = models == model
        row: dict[str, Any] = {"model_id": model, "layers": int(member.sum())}
        for name in COMPARED:
            counts = {count: int(np.sum(verdicts[name][member] == text)) for count, text in _COUNTS.items()}
            fitted = sum(counts.values())
            row |= {f"{name}_fitted": fitted} | {f"{name}_{count}": number for count, number in counts.items()}
            row[f"{name}_p"] = float(betabinom.sf(counts["lower"] - 1, fitted, 1, LAYERS)) if fitted else None
        rows.append(row | {f"{name}_median": _median(column[member]) for name, column in values.items()})
    for name in COMPARED:
        for row, q in zip(rows, adjust([row[f"{name}_p"] for row in rows]), strict=True):
            row |= {f"{name}_q": q, f"{name}_verdict": verdict(q, -1.0)}
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _median(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None
