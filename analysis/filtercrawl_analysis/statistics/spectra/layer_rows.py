"""Rows of the table of layer spectra: the numbers of a spectrum beside those of random layers of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.numerics.moments import Array
from filtercrawl_analysis.statistics.spectra.layer_spectrum import LayerSpectrum, MatrixSpectrum, TapSpectrum
from filtercrawl_analysis.statistics.spectra.random_spectra import RandomFits, RandomRange

Row = dict[str, Any]

_FLOATS: Final = (
    "spectral_norm", "frobenius_norm", "stable_rank", "stable_rank_share", "effective_rank", "effective_rank_share",
    "condition_number", "decay_exponent", "operator_norm", "operator_norm_bound", "operator_stable_rank",
    "operator_condition_number", "alpha", "alpha_error", "ks_distance", "xmin", "alpha_random", "alpha_random_low",
    "alpha_random_high", "alpha_ratio", "mp_soft_rank", "soft_rank_random", "soft_rank_random_low",
    "soft_rank_random_high", "soft_rank_ratio",
)  # fmt: skip
_INTEGERS: Final = ("matrix_rank", "operator_size", "n_eigenvalues", "tail", "mp_spikes")
_TEXTS: Final = ("alpha_verdict", "soft_rank_verdict")
SPECTRUM_FIELDS: Final = (
    *(pa.field(name, pa.float64()) for name in _FLOATS),
    *(pa.field(name, pa.int64()) for name in _INTEGERS),
    *(pa.field(name, pa.string()) for name in _TEXTS),
)
# Where along the singular values, from the first at 0 to the last at 1, their decay is sampled.
DECAY_AT: Final = np.linspace(0, 1, 33)


def spectrum_row(spectrum: LayerSpectrum, random: RandomFits) -> Row:
    """Return the columns `SPECTRUM_FIELDS` of a layer; null where something is unknown."""
    taps, operator = spectrum.taps, spectrum.operator
    law, bulk = taps.power_law, taps.marchenko_pastur
    row: Row = {
        **(_matrix_columns(spectrum.matrix) if spectrum.matrix else {}),
        "n_eigenvalues": len(taps.eigenvalues),
        **_fit_columns(taps),
        **_random_columns("alpha", law.alpha if law else None, random.alpha),
        **_random_columns("soft_rank", bulk.soft_rank if bulk else None, random.soft_rank),
    }
    if operator is not None:
        row |= {
            "operator_size": operator.size,
            "operator_norm": operator.norm,
            "operator_norm_bound": operator.bound,
            "operator_stable_rank": operator.stable_rank,
            "operator_condition_number": operator.condition_number,
        }
    return dict.fromkeys((*_FLOATS, *_INTEGERS, *_TEXTS)) | row


def decay(singular_values: Array) -> Array:
    """Return s_i / s_1 at the relative positions `DECAY_AT`, float64 [33]."""
    at = np.linspace(0, 1, len(singular_values)) if len(singular_values) > 1 else np.zeros(1)
    curve: Array = np.interp(DECAY_AT, at, singular_values / singular_values[0])
    return curve


def _matrix_columns(matrix: MatrixSpectrum) -> Row:
    full = len(matrix.singular_values)
    return {
        "spectral_norm": matrix.spectral_norm,
        "frobenius_norm": matrix.frobenius_norm,
        "stable_rank": matrix.stable_rank,
        "stable_rank_share": matrix.stable_rank / full,
        "effective_rank": matrix.effective_rank,
        "effective_rank_share": matrix.effective_rank / full,
        "matrix_rank": matrix.rank,
        "condition_number": matrix.condition_number,
        "decay_exponent": matrix.decay_exponent,
    }


def _fit_columns(taps: TapSpectrum) -> Row:
    row: Row = {}
    if (law := taps.power_law) is not None:
        row |= {
            "alpha": law.alpha,
            "alpha_error": law.error,
            "ks_distance": law.distance,
            "xmin": law.xmin,
            "tail": law.tail,
        }
    if (bulk := taps.marchenko_pastur) is not None:
        row |= {"mp_soft_rank": bulk.soft_rank, "mp_spikes": bulk.spikes}
    return row


def _random_columns(name: str, value: float | None, of_random: RandomRange | None) -> Row:
    if of_random is None:
        return {}
    row: Row = {
        f"{name}_random": of_random.median,
        f"{name}_random_low": of_random.low,
        f"{name}_random_high": of_random.high,
    }
    if value is not None:
        row |= {f"{name}_ratio": value / of_random.median, f"{name}_verdict": of_random.verdict(value)}
    return row


def decay_rows(curves: Sequence[Array], random: Sequence[Array], deciles: Sequence[int | None]) -> list[Row]:
    """Return quartiles over layers of the decay, by thirds of the depth and over all layers.

    Args:
        curves: `decay` of each layer.
        random: The same of a random layer of its shape.
        deciles: Depth decile of each layer; None where it is unknown.
    """
    thirds = np.array([-1 if decile is None else min(2, 3 * decile // 10) for decile in deciles])
    of_layers, of_random = np.array(curves), np.array(random)
    rows: list[Row] = []
    for name, member in (
        ("all", np.ones(len(thirds), bool)),
        *((third, thirds == i) for i, third in enumerate(("first third", "second third", "last third"))),
    ):
        if not member.any():
            continue
        quartiles = np.quantile(of_layers[member], (0.25, 0.5, 0.75), axis=0)
        middle = np.median(of_random[member], axis=0)
        rows += [
            {"depth": name, "relative_index": at, "q1": q1, "median": median, "q3": q3, "random_weights": other,
             "layers": int(member.sum())}
            for at, q1, median, q3, other in zip(DECAY_AT.tolist(), *quartiles.tolist(), middle.tolist(), strict=True)
        ]  # fmt: skip
    return rows


DECAY_SCHEMA: Final = pa.schema(
    [
        pa.field("depth", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("relative_index", "q1", "median", "q3", "random_weights")),
        pa.field("layers", pa.int64()),
    ]
)
