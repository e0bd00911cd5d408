"""The sentences of the analysis `degeneracy`, each with the row that it is derived from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding, SampleSize
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.quality.model_quality import column_name
from filtercrawl_analysis.statistics.quality.verdict_rules import VERDICTS

Row = dict[str, Any]

# Models named for each verdict; the others are counted.
MAX_NAMED: Final = 4
# Of the layers of trained models that can be judged, some are missed, see `verdict_rules.POWER`; models with a smaller
# share of random layers are not named.
_MIN_RANDOM_SHARE: Final = 0.2
# Verdicts that only the test against random weights decides: the layers that the share of random ones is of.
_JUDGED: Final = ("ok", "random")
_COLUMNS: Final = ("variance_entropy", "sparsity")
_OF_LAYERS: Final = ("dead", "repeated", "outliers", "near copies")


def degeneracy_findings(layers: pa.Table, models: pa.Table, figure: str | None = None) -> Iterator[Finding]:
    """Yield the findings: counts of verdicts, then the models that have them, with their layers.

    Args:
        layers: The table `layer_quality`.
        models: The table `model_quality`.
        figure: Name of the figure that shows the verdicts.
    """
    rows, of_models = layers.to_pylist(), models.to_pylist()
    yield _counts(rows)
    yield from (replace(finding, figure=figure) for finding in _random_models(rows, of_models))
    for verdict in _OF_LAYERS:
        yield from _models_with(verdict, rows, of_models)
    nine = [row["degenerate"] for row in rows if row["degenerate"] is not None]
    if nine:
        yield Finding(
            text=f"By the published thresholds (arXiv 2203.15331), {sum(nine)} of {format_plural(len(nine), 'layer')} "
            f"of nine taps {verb(sum(nine), 'is', 'are')} degenerate.",
            cited_rows=_layers_where(degenerate=True) if any(nine) else (),
        )


def _counts(rows: list[Row]) -> Finding:
    counts = Counter(row["verdict"] for row in rows)
    n_tests = sum(row["p_structured"] is not None for row in rows)
    n_judged = sum(counts[verdict] for verdict in _JUDGED)
    judged, others = (
        [f"{counts[verdict]:,} {_phrase(verdict, counts[verdict])}" for verdict in chosen if counts[verdict]]
        for chosen in (_JUDGED, [verdict for verdict in VERDICTS if verdict not in _JUDGED])
    )
    if counts[None]:
        others.append(f"{counts[None]:,} {verb(counts[None], 'has', 'have')} no verdict")
    of_judged = f": {', '.join(judged)}" if judged else ""
    of_others = f" Of the others, {', '.join(others)}." if others else ""
    return Finding(
        text=f"Of {format_plural(len(rows), 'layer')}, {n_judged:,} can be judged{of_judged} "
        f"({format_plural(n_tests, 'test')}, false discovery rate 0.05).{of_others}",
        estimate=None if counts["random"] else _random_estimate(0, n_judged),
        basis=_basis(rows),
        columns=_COLUMNS,
    )


def _random_estimate(n_random: int, n_judged: int) -> Estimate | None:
    """Return the share of random layers among those that can be judged; None where none can be."""
    if not n_judged:
        return None
    return Estimate(
        label="of the layers that can be judged cannot be told from random weights",
        value=n_random / n_judged,
        percent=True,
        note=f"{n_random:,} of {format_plural(n_judged, 'layer')}, each tested; false discovery rate 0.05",
    )


def _basis(rows: list[Row]) -> SampleSize:
    return SampleSize(
        kernels=sum(row["n_kernels"] for row in rows),
        layers=len(rows),
        models=len({row["model_id"] for row in rows}),
    )


_PHRASES: Final = {
    "dead": "are dead",
    "repeated": "repeat a few kernels",
    "outliers": "are dominated by outliers",
    "near copies": "consist of near copies",
    "ok": "are ok",
    "too small": "are too small to judge",
    "random": "cannot be told from random weights",
}


def _random_models(layers: list[Row], models: list[Row]) -> Iterator[Finding]:
    """Yield the finding on layers that cannot be told from random ones, with the models that have the most of them."""
    found = [(position, row) for position, row in enumerate(models) if row["random"]]
    if not found:
        return
    found.sort(key=lambda item: (-item[1]["random_share"], -item[1]["random"], item[1]["model_id"]))
    named = [item for item in found[:MAX_NAMED] if item[1]["random_share"] >= _MIN_RANDOM_SHARE]
    n_random, n_judged = (sum(row[name] for row in models) for name in ("random", "judgeable"))
    parts = [
        f"{row['model_id']} {row['random']} of {row['judgeable']} ({format_plural(row['kernels_random'], 'kernel')})"
        for _, row in named
    ]
    where = (
        f": {_joined(parts, found)}"
        if named
        else f", less than {_MIN_RANDOM_SHARE:.0%} of the layers of each of {format_plural(len(found), 'model')}"
    )
    text = f"{n_random:,} of {format_plural(n_judged, 'layer')} that can be judged cannot be told from random weights"
    yield replace(
        _finding_on(f"{text}{where}.", named or found[:MAX_NAMED]),
        estimate=_random_estimate(n_random, n_judged),
        basis=_basis([row for row in layers if row["verdict"] in _JUDGED]),
        columns=_COLUMNS,
        cited_rows=_layers_where(verdict="random"),
    )


def _finding_on(text: str, models: Sequence[tuple[int, Row]]) -> Finding:
    """Return a finding that is derived from the rows of these models."""
    first, *others = (position for position, _ in models)
    return Finding(text=text, table="model_quality", row=first, other_rows=tuple(others))


def _layers_where(**where: str | bool) -> tuple[CitedRows, ...]:
    return (CitedRows(table="layer_quality", where=where),)


def _joined(parts: list[str], found: Sequence[object]) -> str:
    """List what is said of models, and how many more there are."""
    more = len(found) - len(parts)
    return "; ".join([*parts, f"and {more:,} more {'model' if more == 1 else 'models'}"] if more else parts)


def _models_with(verdict: str, layers: list[Row], models: list[Row]) -> Iterator[Finding]:
    column = column_name(verdict)
    found = [(position, row) for position, row in enumerate(models) if row[column]]
    found.sort(key=lambda item: (-item[1][column], item[1]["model_id"]))
    if not found:
        return
    parts = [_layers_with(verdict, row[column], row, layers) for _, row in found[:MAX_NAMED]]
    if len(found) == 1:
        count, detail = parts[0]
        text = f"{count} {_phrase(verdict, found[0][1][column])}; {detail}."
    else:
        text = f"Layers that {_PHRASES[verdict]}: {_joined([', '.join(part) for part in parts], found)}."
    yield replace(_finding_on(text, found[:MAX_NAMED]), cited_rows=_layers_where(verdict=verdict))


def _layers_with(verdict: str, n_layers: int, row: Row, layers: list[Row]) -> tuple[str, str]:
    """Return how many layers of a model have a verdict, and what the largest of them is like."""
    largest = max(
        (layer for layer in layers if layer["model_id"] == row["model_id"] and layer["verdict"] == verdict),
        key=lambda layer: (layer["n_kernels"], layer["layer_id"]),
    )
    name = largest["layer_id"].removeprefix(f"{row['model_id']}#")
    which = f"the largest, {name}," if n_layers > 1 else name
    return f"{row['model_id']}: {n_layers} of {row['layers']} layers", f"{which} {_detail(largest)}"


_SINGULAR: Final = _PHRASES | {
    "dead": "is dead",
    "repeated": "repeats a few kernels",
    "outliers": "is dominated by outliers",
    "near copies": "consists of near copies",
    "ok": "is ok",
    "too small": "is too small to judge",
}


def _phrase(verdict: str, count: int) -> str:
    return (_SINGULAR if count == 1 else _PHRASES)[verdict]


def _detail(layer: Row) -> str:
    n = layer["n_kernels"]
    if layer["norm_linf"] == 0:
        return f"has {n:,} kernels of zeros"
    if layer["verdict"] == "dead":
        share = f"{layer['dead_share']:.0%}"
        if layer["dead_low"] < layer["dead_high"]:
            share = f"about {share} ({layer['dead_low']:.0%} to {layer['dead_high']:.0%})"
        return f"has {n:,} kernels of which {share} are dead"
    if layer["verdict"] == "repeated":
        return f"has {n:,} kernels; {layer['distinct_share']:.0%} of those sampled are distinct"
    if layer["verdict"] == "outliers":
        # Rounded down, as it is a lower bound.
        share = math.floor(100 * layer["outlier_share_low"])
        return f"has at least {share}% of its energy in at most {layer['outlier_kernels']:,} of {n:,} kernels"
    return f"has {n:,} kernels; {layer['near_copy_share']:.0%} of those sampled are within 20 % of another one"
