"""Sentences on drift, each derived from one row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from filtercrawl.api.analysis import Finding
from filtercrawl_analysis.analyses.drift_tables import DriftTables, Row, count, n_tests
from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase


def drift_findings(tables: Sequence[DriftTables]) -> Iterator[Finding]:
    """Yield the findings: for each column on the kernel size with the most kernels, plain and matched."""
    for table in tables:
        if not table.plain:
            continue
        kernel = table.plain[0]["kernel"]
        rows = [row for row in table.plain if row["kernel"] == kernel]
        top, text = _summary(rows, table.column_text, n_tests(table.plain))
        yield Finding(text=text, table=table.name, row=table.plain.index(top))
        if top["verdict"] == "differs":
            yield from _matched(table, top)


def _summary(rows: Sequence[Row], column: str, tests: int) -> tuple[Row, str]:
    """Return the row that a sentence is derived from, and the sentence."""
    differing, not_found, untold = (
        [row for row in rows if row["verdict"] == verdict]
        for verdict in ("differs", "no difference found", "too little to tell")
    )
    only, groups, total = len(rows) == 1, f"of groups of {kernel_phrase(rows[0]['kernel'])}", len(rows)
    adjusted = count(tests, "test")
    if differing:
        top = max(differing, key=lambda row: row["drift"] if row["estimate"] is None else row["estimate"])
        if only:
            return top, f"By {column}, the only pair {groups} differs (q <= 0.05, {adjusted}): {_describe(top)}."
        verb = "differ" if len(differing) > 1 else "differs"
        lead = f"By {column}, {len(differing)} of {total} pairs {groups} {verb} (q <= 0.05, {adjusted})."
        others = f" In {len(not_found)} of {total} no difference was found." if not_found else ""
        return top, f"{lead} The largest difference is between {_describe(top)}.{others}{_untold(untold, total)}"
    if not_found:
        top = min(not_found, key=lambda row: row["p"])
        if only:
            lead = f"By {column}, no difference was found in the only pair {groups} ({adjusted}): {_describe(top)}."
            return top, f"{lead}{_detectable(top)}"
        where = f"{len(not_found) if untold else 'any'} of {total} pairs {groups}"
        lead = f"By {column}, no difference was found in {where} ({adjusted}). The least alike are {_describe(top)}."
        return top, f"{lead}{_detectable(top)}{_untold(untold, total)}"
    top = max(rows, key=lambda row: row["drift"])
    pairs = f"the only pair {groups}" if only else f"any of {total} pairs {groups}"
    lead = f"By {column}, there is too little to tell whether {pairs} differs."
    return top, f"{lead} The largest D is between {_describe(top)}: {top['note']}."


def _untold(untold: Sequence[Row], total: int) -> str:
    return f" For {len(untold)} of {total} there is too little to tell." if untold else ""


def _matched(table: DriftTables, top: Row) -> Iterator[Finding]:
    for position, row in enumerate(table.matched):
        if all(row[name] == top[name] for name in ("kernel", "group_a", "group_b")):
            strata = f"the {_strata(row)} that both have matched"
            verdict = {"differs": "they differ", "no difference found": "no difference is found"}.get(
                row["verdict"], "there is too little to tell"
            )
            text = f"With {strata}, {verdict} between {_describe(row)}.{_detectable(row)}"
            yield Finding(text=text, table=table.matched_name, row=position)
            return


def _strata(row: Row) -> str:
    return count(row["strata"], row["matched_by"]).replace("familys", "families")


def _describe(row: Row) -> str:
    """Return the groups of a row with their numbers, D with its floor, the interval and q."""
    sides = [
        f"{row[f'group_{side}']} ({count(row[f'models_{side}'], 'model')}{_kernels(row, side)})" for side in ("a", "b")
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
