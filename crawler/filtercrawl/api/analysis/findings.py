"""Findings: sentences, with the numbers that they state and the rows that they are derived from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from filtercrawl.api.analysis.figures import SampleSize


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The number that a finding states, with its uncertainty.

    Attributes:
        label: What it is a number of, for example `estimated drift D`.
        value: The number; a share of 1 where `percent` is set.
        low: Lower end of its 95 % interval; None where none is known.
        high: Upper end of its 95 % interval; None where none is known.
        p: p-value of the test of the finding; None without one.
        q: The p-value adjusted for the number of tests; None without one.
        percent: Whether the number and its interval are shown as percentages.
        note: How sure it is, for a number without interval: `a count of all`, or what chance would give.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    q: float | None = None
    percent: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class CitedRows:
    """Rows of a table that a finding names or counts: those with given values.

    On the page they are a link that opens the table with a filter for them.

    Attributes:
        table: Name of the table, of the same result as the finding.
        where: The values that a row has, by column: text, an integer, or whether it is so.
    """

    table: str
    where: Mapping[str, str | int | bool]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence for the top of the report, with the row or the rows that it is derived from.

    Attributes:
        text: The sentence.
        table: Name of the table that has the row; None for a sentence that rests on no single row.
        row: Position of the row in that table, from 0.
        other_rows: Positions of further rows, for a sentence that names several models or groups.
        figure: Name of the figure that shows it. By default the first figure of the analysis that shows `table`, or for
            a finding without a table the first of all.
        estimate: The number that the sentence states; None for one that states none, or several.
        basis: What the number is computed from. By default that of the figure.
        columns: Columns of `index` and `models` that it rests on, such as `task` and `sparsity`.
        cited_rows: Rows of tables that the sentence names or counts, also of others than `table`.
    """

    text: str
    table: str | None = None
    row: int | None = None
    other_rows: tuple[int, ...] = ()
    figure: str | None = None
    estimate: Estimate | None = None
    basis: SampleSize | None = None
    columns: tuple[str, ...] = ()
    cited_rows: tuple[CitedRows, ...] = ()

    @property
    def rows(self) -> tuple[int, ...]:
        """The positions of all rows that the sentence is derived from."""
        return () if self.table is None or self.row is None else (self.row, *self.other_rows)

    def __str__(self) -> str:
        """Return the sentence."""
        return self.text
