"""Sentences on drift, each derived from one row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from filtercrawl.api.analysis import CitedRows, Estimate, Finding
from filtercrawl_analysis.analyses.drift_tables import DriftTables, Row, count, n_tests
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase
from filtercrawl_analysis.statistics.groups.labels import POSITION, is_whole_number

_POSITIONS: Final = {"first": "first layers", "last": "last layers", "between": "the layers in between"}


def drift_findings(tables: Sequence[DriftTables]) -> Iterator[Finding]:
    """Yield the findings: for each column on the kernel size with the most kernels, plain and matched."""
    for table in tables:
        if not table.plain:
            continue
        kernel = table.plain[0]["kernel"]
        rows = [row for row in table.plain if row["kernel"] == kernel]
        top, text = _summary(rows, table, n_tests(table.plain))
        yield Finding(
            text=text,
            table=table.name,
            row=table.plain.index(top),
            estimate=_estimate(top, table.column),
            columns=_columns(table.column),
            cited_rows=_alike(rows, top, table.name),
        )
        if top["verdict"] == "differs":
            yield from _matched(table, top)


def _alike(rows: Sequence[Row], top: Row, table: str) -> tuple[CitedRows, ...]:
    """Return the pairs that have the verdict of one of them, where there are others."""
    if sum(row["verdict"] == top["verdict"] for row in rows) < 2:
        return ()
    return (CitedRows(table=table, where={"kernel": top["kernel"], "verdict": top["verdict"]}),)


def _summary(rows: Sequence[Row], table: DriftTables, tests: int) -> tuple[Row, str]:
    """Return the row that a sentence is derived from, and the sentence."""
    differing, not_found, untold = (
        [row for row in rows if row["verdict"] == verdict]
        for verdict in ("differs", "no difference found", "too little to tell")
    )
    only, kernels, total = len(rows) == 1, kernel_phrase(rows[0]["kernel"]), len(rows)
    groups, adjusted = f"the two groups by {table.column_text}", count(tests, "test")
    if differing:
        top = max(differing, key=lambda row: row["drift"] if row["estimate"] is None else row["estimate"])
        pair = _describe(top, table.column)
        if only:
            return top, f"{kernels} differ between {groups} (q <= 0.05, {adjusted}): {pair}."
        where = f"{len(differing)} of {total} pairs of groups by {table.column_text}"
        others = f" In {len(not_found)} of {total} no difference was found." if not_found else ""
        lead = (
            f"{kernels} differ in {where} (q <= 0.05, {adjusted}). The largest of these differences is between {pair}."
        )
        return top, f"{lead}{others}{_untold(untold, total)}"
    if not_found:
        top = min(not_found, key=lambda row: row["p"])
        pair = _describe(top, table.column)
        if only:
            lead = f"No difference was found between {kernels} of {groups} ({adjusted}): {pair}."
            return top, f"{lead}{_detectable(top)}"
        where = f"{len(not_found) if untold else 'any'} of {total} pairs of groups by {table.column_text}"
        lead = f"No difference was found between {kernels} in {where} ({adjusted})."
        return top, f"{lead} The smallest p-value is that of {pair}.{_detectable(top)}{_untold(untold, total)}"
    top = max(rows, key=lambda row: row["drift"])
    where = f"between {groups}" if only else f"in any of {total} pairs of groups by {table.column_text}"
    lead = f"There is too little to tell whether {kernels} differ {where}."
    return top, f"{lead} The largest D is between {_describe(top, table.column)}: {top['note']}."


def _estimate(row: Row, column: str) -> Estimate:
    """Return the drift of a pair between the populations of models, or D where too few models give no estimate."""
    pair = f"between {' and '.join(group_words(row, side, column) for side in ('a', 'b'))}"
    if row["estimate"] is None:
        note = f"equal distributions would give {_number(row['floor'])}; too few models for an interval"
        return Estimate(label=f"drift D {pair}", value=row["drift"], note=note)
    return Estimate(
        label=f"estimated drift {pair}",
        value=row["estimate"],
        low=row["low"],
        high=row["high"],
        q=row["q"],
        p=row["p"] if row["q"] is None else None,
    )


def _columns(column: str) -> tuple[str, ...]:
    return ("is_first", "is_last") if column == POSITION else (column,)


def group_words(row: Row, side: str, column: str) -> str:
    """Return a group in words; a number alone would not say what it is."""
    group: str = row[f"group_{side}"]
    if column == POSITION:
        return _POSITIONS.get(group, group)
    return f"{column.replace('_', ' ')} {group}" if is_whole_number(group) else group


def _untold(untold: Sequence[Row], total: int) -> str:
    return f" For {len(untold)} of {total} there is too little to tell." if untold else ""


def _matched(table: DriftTables, top: Row) -> Iterator[Finding]:
    for position, row in enumerate(table.matched):
        if all(row[name] == top[name] for name in ("kernel", "group_a", "group_b")):
            strata = f"the {_strata(row)} that both have matched"
            verdict = {"differs": "they differ", "no difference found": "no difference is found"}.get(
                row["verdict"], "there is too little to tell"
            )
            text = f"With {strata}, {verdict} between {_describe(row, table.column)}.{_detectable(row)}"
            yield Finding(
                text=text,
                table=table.matched_name,
                row=position,
                estimate=_estimate(row, table.column),
                columns=(*_columns(table.column), row["matched_by"]),
            )
            return


def _strata(row: Row) -> str:
    return count(row["strata"], row["matched_by"]).replace("familys", "families")


def _describe(row: Row, column: str) -> str:
    """Return the groups of a row with their numbers, D with its floor, the interval and q."""
    sides = [
        f"{group_words(row, side, column)} ({count(row[f'models_{side}'], 'model')}{_kernels(row, side)})"
        for side in ("a", "b")
    ]
    parts = [f"D = {_number(row['drift'])} where equal distributions would give {_number(row['floor'])}"]
    if row["estimate"] is not None:
        interval = f"95 % interval {_number(row['low'])} to {_number(row['high'])}"
        parts.append(f"estimated drift {_number(row['estimate'])}, {interval}")
    if row["q"] is not None:
        parts.append(f"q = {_number(row['q'])}")
    return f"{' and '.join(sides)}: {'; '.join(parts)}"


def _kernels(row: Row, side: str) -> str:
    kernels = row.get(f"kernels_{side}")
    return f", {count(kernels, 'kernel')}" if kernels is not None else ""


def _detectable(row: Row) -> str:
    if row["detectable"] is None:
        return ""
    return f" A drift of {_number(row['detectable'])} would have been found with a probability of 80 %."


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
