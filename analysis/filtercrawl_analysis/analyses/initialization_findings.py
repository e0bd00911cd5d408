"""The sentences of the analysis `initialization`, each with the row that it is derived from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl.api.formatting import format_plural, verb
from filtercrawl_analysis.statistics.initialization.layers import CLOSE, TOO_SMALL, UNTRAINED

Row = dict[str, Any]

# Models named for each verdict; the others are counted.
MAX_NAMED: Final = 8


def initialization_findings(models: pa.Table, figure: str | None = None) -> Iterator[Finding]:
    """Yield the findings: how many models look untrained, and which.

    Args:
        models: The table `model_initialization`.
        figure: Name of the figure that shows the layers.
    """
    rows = models.to_pylist()
    untrained, close = (_rows_of(rows, verdict) for verdict in (UNTRAINED, CLOSE))
    n_small = sum(row["verdict"] == TOO_SMALL for row in rows)
    told = [*untrained[:MAX_NAMED], *close[:MAX_NAMED]]
    positions = [position for position, _ in told]
    n_judged = len(rows) - n_small
    yield Finding(
        text=_count_sentence(untrained, close, n_judged, n_small),
        table="model_initialization" if told else None,
        row=positions[0] if told else None,
        other_rows=tuple(positions[1:]),
        figure=figure,
        estimate=_count(len(untrained), len(close), n_judged, n_small) if n_judged else None,
    )
    yield from _of_verdict(
        untrained,
        _untrained_sentence,
        "Models that look untrained, with their judged layers that may be draws from one initial distribution",
    )
    yield from _of_verdict(
        close,
        _close_sentence,
        "Models close to their initialization, so trained a little, with their judged layers that are",
    )


def _count_sentence(untrained: list[tuple[int, Row]], close: list[tuple[int, Row]], n_judged: int, n_small: int) -> str:
    """Return how many models have each verdict; of a verdict that no model has, nothing is said."""
    n_models = n_judged + n_small
    models = format_plural(n_models, "model")
    if not n_judged:
        return "The model is too small to judge." if n_models == 1 else f"None of {models} is large enough to judge."
    parts = []
    if untrained:
        n = len(untrained)
        parts.append(f"{n} of {models} {verb(n, 'looks', 'look')} untrained{_names(untrained)}")
    if close:
        n, of_all = len(close), "" if untrained else f" of {models}"
        parts.append(f"{n}{of_all} {verb(n, 'is', 'are')} close to initialization{_names(close)}")
    if not parts and n_models == 1:
        parts.append("The model looks neither untrained nor close to initialization")
    elif not parts:
        parts.append(f"None of {models} looks untrained or close to initialization")
    if n_small:
        parts.append(f"{n_small} {verb(n_small, 'is', 'are')} too small to judge")
    return f"{'; '.join(parts)}."


def _count(n_untrained: int, n_close: int, n_judged: int, n_small: int) -> Estimate:
    n = n_untrained + n_close
    if n_untrained and not n_close:
        label = f"{verb(n, 'model looks', 'models look')} untrained"
    elif n_close and not n_untrained:
        label = f"{verb(n, 'model is', 'models are')} close to initialization"
    else:
        label = "models look untrained or close to initialization"
    small = f"; {n_small} {verb(n_small, 'is', 'are')} too small to judge" if n_small else ""
    return Estimate(label=label, value=n, note=f"of {format_plural(n_judged, 'model')} that can be judged{small}")


def _names(found: list[tuple[int, Row]]) -> str:
    """Return the names of models in brackets, and how many more there are."""
    names = [row["model_id"] for _, row in found[:MAX_NAMED]]
    more = [f"and {len(found) - MAX_NAMED:,} more"] if len(found) > MAX_NAMED else []
    return f" ({', '.join([*names, *more])})" if names else ""


def _of_verdict(found: list[tuple[int, Row]], sentence: Callable[[Row], str], heading: str) -> Iterator[Finding]:
    """Yield one finding for all models of a verdict, derived from the rows of those that it names.

    Args:
        found: Positions and rows of the models.
        sentence: Describes a single model.
        heading: What is said before several.
    """
    if not found:
        return
    first, *others = found[:MAX_NAMED]
    named = [
        f"{row['model_id']} ({row['close_layers']} of {format_plural(row['judged_layers'], 'layer')}, "
        f"{row['close_share_of_weights']:.0%} of the weights, {row['law']})"
        for _, row in (first, *others)
    ]
    if (more := len(found) - MAX_NAMED) > 0:
        named.append(f"and {more:,} more {'model' if more == 1 else 'models'}")
    text = sentence(first[1]) if len(found) == 1 else f"{heading}: {', '.join(named)}."
    rows = tuple(position for position, _ in others)
    own = CitedRows(table="layer_weights", where={"model_id": first[1]["model_id"]})
    cited_rows = () if others else (own,)
    yield Finding(text=text, table="model_initialization", row=first[0], other_rows=rows, cited_rows=cited_rows)


def _untrained_sentence(row: Row) -> str:
    near = row["near_layers"]
    return (
        f"{row['model_id']} looks untrained: {_judged(row)}, may be draws from one initial distribution "
        f"({row['law']}); {format_plural(near, 'layer')} {verb(near, 'is', 'are')} within 2 % of its standard "
        "deviation."
    )


def _close_sentence(row: Row) -> str:
    n_close = row["close_layers"]
    n_beyond = n_close - row["untrained_layers"]
    return (
        f"{row['model_id']} is close to its initialization: {_judged(row)}, {verb(n_close, 'has', 'have')} the "
        f"standard deviation and the shape of one initial distribution ({row['law']}) and "
        f"{verb(n_close, 'is', 'are')} not told from random; {n_beyond} of them {verb(n_beyond, 'holds', 'hold')} "
        "weights beyond its bound, so it was trained a little."
    )


def _judged(row: Row) -> str:
    layers = format_plural(row["judged_layers"], "judged layer")
    return f"{row['close_layers']} of {layers}, with {row['close_share_of_weights']:.0%} of its weights"


def _rows_of(rows: list[Row], verdict: str) -> list[tuple[int, Row]]:
    """Return the rows of a verdict and their positions, those of the largest share of close weights first."""
    found = [(position, row) for position, row in enumerate(rows) if row["verdict"] == verdict]
    return sorted(found, key=lambda item: (-item[1]["close_share_of_weights"], item[1]["model_id"]))
