"""Rows of the tables of correlations between measures of kernels and stated accuracy, with verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from filtercrawl_analysis.statistics.accuracy.model_measures import MEASURES
from filtercrawl_analysis.statistics.accuracy.rank_correlation import (
    RankCorrelation,
    clustered_correlation,
    rank_correlation,
)
from filtercrawl_analysis.statistics.accuracy.stated_metrics import StatedMetric
from filtercrawl_analysis.statistics.groups.resampling import LEVEL, adjust_p_values, random_generator

Row = dict[str, Any]

ALL: Final = "all models"
WITHIN: Final = "within families"
RISES, FALLS, NONE, UNCLEAR = "rises", "falls", "none", "unclear"
# A rank correlation that is within this is called none.
WEAK: Final = 0.3
# A metric of fewer models is not tested.
MIN_MODELS: Final = 8

CORRELATIONS: Final = pa.schema(
    [
        ("metric", pa.string()), ("measure", pa.string()), ("scope", pa.string()), ("verdict", pa.string()),
        ("rho", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("p", pa.float64()), ("q", pa.float64()),
        ("models", pa.int64()), ("families", pa.int64()),
    ]
)  # fmt: skip
FAMILIES: Final = pa.schema(
    [
        ("metric", pa.string()), ("measure", pa.string()), ("family", pa.string()), ("models", pa.int64()),
        ("rho", pa.float64()),
    ]
)  # fmt: skip
MODELS: Final = pa.schema(
    [
        ("metric", pa.string()), ("model_id", pa.string()), ("family", pa.string()), ("value", pa.float64()),
        ("evidence", pa.string()), *((name, pa.float64()) for name in MEASURES),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AccuracyTables:
    """The rows of all tables.

    Attributes:
        models: A row for each metric of each model.
        correlations: A row for each metric, measure and scope.
        families: A row for each metric, measure and family of three or more models.
    """

    models: list[Row]
    correlations: list[Row]
    families: list[Row]


def correlate(
    stated: Sequence[StatedMetric],
    measures: Mapping[str, Row],
    families: Mapping[str, str | None],
    draws: int,
    seed: int,
) -> AccuracyTables:
    """Correlate every metric that enough models state with every measure, over all models and within families.

    Args:
        stated: The metrics.
        measures: The measures of each model; models without any are left out.
        families: The family of each model.
        draws: Permutations of a test.
        seed: Seed of all permutations.
    """
    known = [metric for metric in stated if metric.model_id in measures]
    models = [
        {
            "metric": metric.metric,
            "model_id": metric.model_id,
            "family": families.get(metric.model_id),
            "value": metric.value,
            "evidence": metric.evidence,
            **measures[metric.model_id],
        }
        for metric in known
    ]
    correlations: list[Row] = []
    of_families: list[Row] = []
    by_metric: dict[str, list[Row]] = {}
    for row in models:
        by_metric.setdefault(row["metric"], []).append(row)
    for metric, rows in by_metric.items():
        for measure in MEASURES if len(rows) >= MIN_MODELS else ():
            measured = [row for row in rows if row[measure] is not None]
            names = sorted({row["family"] for row in measured if row["family"] is not None})
            for scope, found in _of_pair(measured, measure, names, draws, seed):
                correlations.append(_row(metric, measure, scope, found))
                of_families += [
                    {"metric": metric, "measure": measure, "family": names[code], "models": n, "rho": rho}
                    for code, (n, rho) in found.by_stratum.items()
                ]
    q_values = adjust_p_values(np.array([row["p"] for row in correlations]))
    judged = [
        row | {"q": q, "verdict": _verdict(row, q)} for row, q in zip(correlations, q_values.tolist(), strict=True)
    ]
    return AccuracyTables(models=models, correlations=judged, families=of_families)


def _of_pair(
    rows: Sequence[Row], measure: str, families: Sequence[str], draws: int, seed: int
) -> Iterator[tuple[str, RankCorrelation]]:
    """Yield the correlation over all models, a family being a cluster, and within families, where they are defined.

    Of models of a single family, only the one within families.

    Args:
        rows: The models of one metric, with the measure.
        measure: The measure.
        families: The families of the models.
        draws: Permutations of a test.
        seed: Seed of the permutations.
    """
    x, y = (np.array([row[name] for row in rows], np.float64) for name in (measure, "value"))
    code = {name: i for i, name in enumerate(families)}
    strata = np.array([code.get(row["family"], -1) for row in rows], np.int64)
    # A model of unknown family may be a family of its own.
    clusters = np.where(strata < 0, len(families) + np.cumsum(strata < 0) - 1, strata)
    for scope, groups, correlation in ((ALL, clusters, clustered_correlation), (WITHIN, strata, rank_correlation)):
        if scope == ALL and len(families) == 1 and (strata == 0).all():
            continue  # all models are those of one family, within which they are compared
        random = random_generator(seed, rows[0]["metric"], measure, scope) if rows else None
        found = None if random is None else correlation(x, y, groups, draws, random)
        if found is not None:
            yield scope, found


def _row(metric: str, measure: str, scope: str, found: RankCorrelation) -> Row:
    return {
        "metric": metric,
        "measure": measure,
        "scope": scope,
        "rho": found.rho,
        "low": found.low,
        "high": found.high,
        "p": found.p_value,
        "models": found.models,
        "families": len(found.by_stratum) if scope == WITHIN else None,
    }


def _verdict(row: Row, q_value: float) -> str:
    if q_value <= LEVEL:
        return RISES if row["rho"] > 0 else FALLS
    return NONE if row["low"] >= -WEAK and row["high"] <= WEAK else UNCLEAR
