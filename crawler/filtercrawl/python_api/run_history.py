"""The last runs of a dataset, and whether they are getting worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from filtercrawl.api.formatting import format_count, format_size
from filtercrawl.dataset.schema.run_row import RunRow

# Runs that are looked at, and those before with which they are compared.
RECENT: Final = 7
BEFORE: Final = 28
# The median of the recent runs has to exceed all earlier runs but the largest, and the earlier median by this factor.
# By simulation, of independent nights that do not change 0.1 to 0.4 % are reported, about one in two years (with an
# autocorrelation of 0.5, 2 %); of series with a spread of 30 % that double, 84 % are after a week.
_FACTOR: Final = 1.25
# Runs that are shown.
SHOWN: Final = 10
_WATCHED: Final = {
    "seconds": "takes longer",
    "bytes_fetched": "fetches more bytes",
    "requests": "sends more requests",
    "failed": "has more failures",
}


@dataclass(frozen=True, kw_only=True)
class Worsening:
    """A figure of runs that is higher than it was.

    Attributes:
        figure: The column of `runs`.
        before: Its median in the runs before.
        recent: Its median in the last runs.
    """

    figure: str
    before: float
    recent: float

    def __str__(self) -> str:
        shown = [_format(self.figure, value) for value in (self.recent, self.before)]
        return (
            f"a run {_WATCHED[self.figure]}: {shown[0]} in the median of the last {RECENT}, {shown[1]} in that of the "
            f"{BEFORE} before"
        )


@dataclass(frozen=True, kw_only=True)
class RunHistory:
    """The last runs of a dataset.

    Attributes:
        runs: The last runs, the earliest first.
        worsening: Figures that are getting worse; None where there are too few finished runs to tell.
    """

    runs: Sequence[RunRow]
    worsening: Sequence[Worsening] | None

    @classmethod
    def of(cls, rows: Sequence[RunRow]) -> RunHistory:
        """Look at the runs of a dataset, in their order."""
        return cls(runs=rows[-SHOWN:], worsening=find_worsening(rows))

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl status --runs --json`."""
        worsening = None if self.worsening is None else [vars(found) for found in self.worsening]
        return {"runs": [row.to_arrow() for row in self.runs], "worsening": worsening}

    def __str__(self) -> str:
        if not self.runs:
            return "no run is recorded yet"
        heads = ("run", "started", "outcome", "seconds", "bytes", "requests", "retries", "new", "changed", "failed")
        lines = [heads, *(_line(row) for row in self.runs)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines]
        if self.worsening is None:
            shown.append(f"a trend takes {RECENT + BEFORE} finished runs")
        elif not self.worsening:
            shown.append("no figure is getting worse")
        else:
            shown += [f"getting worse: {found}" for found in self.worsening]
        return "\n".join(shown)


def find_worsening(rows: Sequence[RunRow]) -> list[Worsening] | None:
    """Compare the last finished runs with those before; None where there are too few.

    A figure is reported if the median of the last 7 exceeds the second largest of the 28 before, and their median by a
    quarter. The first says that it is no chance whatever the distribution of the figure, the second that it matters.

    Args:
        rows: The rows of `runs`, in their order; runs that were stopped, failed or killed say nothing of a whole run.
    """
    finished = [row for row in rows if row.outcome == "finished"][-RECENT - BEFORE :]
    if len(finished) < RECENT + BEFORE:
        return None
    found = []
    for figure in _WATCHED:
        values = [float(getattr(row, figure)) for row in finished]
        before, recent = values[:BEFORE], median(values[BEFORE:])
        if recent > sorted(before)[-2] and recent >= _FACTOR * median(before):
            found.append(Worsening(figure=figure, before=median(before), recent=recent))
    return found


def _line(row: RunRow) -> tuple[str, ...]:
    counts = (row.requests, row.retries, row.new, row.changed, row.failed)
    return (
        str(row.run),
        row.started.strftime("%Y-%m-%d %H:%M"),
        row.outcome or "not ended",
        _format("seconds", row.seconds),
        _format("bytes_fetched", row.bytes_fetched),
        *map(format_count, counts),
    )


def _format(figure: str, value: float) -> str:
    if figure == "seconds":
        return f"{value:,.1f} s"
    return format_size(value) if figure == "bytes_fetched" else format_count(value)
