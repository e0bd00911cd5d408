"""Names of the tables of drift."""

from __future__ import annotations

from filtercrawl_analysis.analyses.drift_tables import DriftTables


def test_no_two_tables_have_one_name() -> None:
    columns = ("task", "groups", "basis", "matched_task", "Task", "TASK", "weight decay", "weight_decay")
    tables = [DriftTables(column=column, plain=[], matched=[]) for column in columns]
    names = [name for table in tables for name in (table.name, table.matched_name)]
    assert len({*names, "drift_groups", "drift_basis"}) == len(names) + 2
    assert (tables[0].name, tables[0].matched_name) == ("drift_task", "drift_matched_task")
