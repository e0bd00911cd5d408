"""The result of an analysis that has nothing to look at."""

from __future__ import annotations

from filtercrawl.api.analysis import Result


def empty_result(reason: str) -> Result:
    """Return a result without tables and figures that says why there are none."""
    return Result(findings=(f"Nothing to analyse: {reason}.",))
