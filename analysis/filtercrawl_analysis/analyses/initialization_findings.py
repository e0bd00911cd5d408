"""The sentences of the analysis `initialization`, each with the row that it is derived from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from filtercrawl.api.analysis import Finding
from filtercrawl_analysis.statistics.initialization.layers import CLOSE, TOO_SMALL, UNTRAINED

Row = dict[str, Any]

# Models named for each verdict; the others are counted.
MAX_NAMED: Final = 8


def initialization_findings(models: pa.Table) -> Iterator[Finding]:
    """Yield the findings: how many models look untrained, and which.

    Args:
        models: The table `model_initialization`.
    """
    rows = models.to_pylist()
    untrained, close = (_rows_of(rows, verdict) for verdict in (UNTRAINED, CLOSE))
    n_small = sum(row["verdict"] == TOO_SMALL for row in rows)
    near = f"{len(close)} {'is' if len(close) == 1 else 'are'} close to initialization, " if close else ""
    yield Finding(
        text=f"{len(untrained)} of {len(rows)} models {'looks' if len(untrained) == 1 else 'look'} untrained; "
        f"{near}{n_small} {'is' if n_small == 1 else 'are'} too small to judge."
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
        f"{row['model_id']} ({row['close_layers']} of {row['judged_layers']} layers, "
        f"{row['close_share_of_weights']:.0%} of the weights, {row['law']})"
        for _, row in (first, *others)
    ]
    if (more := len(found) - MAX_NAMED) > 0:
        named.append(f"and {more:,} more {'model' if more == 1 else 'models'}")
    text = sentence(first[1]) if len(found) == 1 else f"{heading}: {', '.join(named)}."
    rows = tuple(position for position, _ in others)
    yield Finding(text=text, table="model_initialization", row=first[0], other_rows=rows)


def _untrained_sentence(row: Row) -> str:
    return (
        f"{row['model_id']} looks untrained: {row['close_layers']} of {row['judged_layers']} judged "
        f"layers, with {row['close_share_of_weights']:.0%} of its weights, may be draws from one initial "
        f"distribution ({row['law']}); {row['near_layers']} layers are within 2 % of its standard deviation."
    )


def _close_sentence(row: Row) -> str:
    n_beyond = row["close_layers"] - row["untrained_layers"]
    return (
        f"{row['model_id']} is close to its initialization: {row['close_layers']} of {row['judged_layers']} "
        f"judged layers, with {row['close_share_of_weights']:.0%} of its weights, have the standard deviation and "
        f"the shape of one initial distribution ({row['law']}) and are not told from random; {n_beyond} of them "
        f"{'holds' if n_beyond == 1 else 'hold'} weights beyond its bound, so it was trained a little."
    )


def _rows_of(rows: list[Row], verdict: str) -> list[tuple[int, Row]]:
    """Return the rows of a verdict and their positions, those of the largest share of close weights first."""
    found = [(position, row) for position, row in enumerate(rows) if row["verdict"] == verdict]
    return sorted(found, key=lambda item: (-item[1]["close_share_of_weights"], item[1]["model_id"]))
