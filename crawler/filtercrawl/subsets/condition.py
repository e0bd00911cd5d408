"""The condition of a recipe: SQL that says the same of a layer on every machine and at any time, and reads no file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.formatting import unknown_column
from filtercrawl.dataset.schema.arrow import INDEX, MODELS

# Nothing in a condition may read files, variables of this process or the network.
_CONFIG: Final[dict[str, Any]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
# Kinds of expressions that look at other rows, or at nothing that is known.
_REFUSED: Final = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by its number",
}
# The database calls these stable; `hash` and `version` are not those of another release, `age` of one date is of today.
_CHANGING: Final = frozenset({"age", "hash", "version"})
_MODELS: Final = "models"
_INDEX_COLUMNS: Final = {name.lower(): name for name in INDEX.names}
_MODEL_COLUMNS: Final = {name.lower(): name for name in MODELS.names}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition over the columns of `index`, and over those of `models` as `models.NAME`.

    Attributes:
        sql: An expression in the SQL of DuckDB.
        index_columns: Columns of `index` that it may name.
        model_columns: Columns of `models` that it may name.
    """

    sql: str
    index_columns: tuple[str, ...]
    model_columns: tuple[str, ...]

    @classmethod
    def parse(cls, sql: str) -> Self:
        """Check a condition.

        Raises:
            UsageError: It is no single expression, or its value depends on more than one row and its model.
        """
        with duckdb.connect(config=_CONFIG) as database:
            try:
                selected = _parse(database, sql, f"SELECT ({sql}\n)")
                _parse(database, sql, f"SELECT {sql}\n")  # `a) or (b` is an expression only between parentheses
                nodes, paths = list(_nodes(selected)), list(_column_paths(selected))
            except RecursionError as error:
                raise _not_understood(sql, "it is nested too deeply; IN takes the place of many comparisons") from error
            _check_nodes(database, sql, nodes)
        return cls(sql=sql, **_columns(sql, paths))

    def evaluate(self, index: pa.Table, models: pa.Table) -> list[bool]:
        """Tell for each row of `index` whether the condition holds; where it is null, it does not.

        Args:
            index: `model_id` and the columns of `index` that the condition names.
            models: `model_id` and the columns of `models` that the condition names.

        Raises:
            UsageError: The database does not understand the condition.
            DatasetError: `models` has a model twice.
        """
        if len(models["model_id"].unique()) != len(models):
            raise DatasetError("models has a checkpoint twice")
        numbered = index.append_column("row_number_", pa.array(range(len(index)), pa.int64()))
        with duckdb.connect(config=_CONFIG) as database:
            database.execute("SET TimeZone = 'UTC'")  # else dates are those of where the machine is
            database.register("layer", numbered)
            database.register("model", models)
            query = (
                f"SELECT row_number_, ({self.sql}\n) FROM (SELECT layer.*, model AS {_MODELS} FROM layer "  # noqa: S608
                "LEFT JOIN model ON layer.model_id = model.model_id) ORDER BY 1"
            )
            try:
                found = database.sql(query).to_arrow_table()
            except duckdb.Error as error:
                raise _not_understood(self.sql, " ".join(str(error).split())) from error
        if found.column(1).type != pa.bool_():
            raise _not_understood(self.sql, f"its value is not true or false, but {found.column(1).type}")
        return [value is True for value in found.column(1).to_pylist()]


def _parse(database: duckdb.DuckDBPyConnection, sql: str, statement: str) -> list[Any]:
    """Return the one expression that a statement selects.

    Raises:
        UsageError: It is not understood, or selects something else.
    """
    answer = database.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()[0][0]
    parsed = json.loads(answer)
    if parsed["error"]:
        raise _not_understood(sql, parsed["error_message"])
    statements = parsed["statements"]
    if len(statements) != 1 or not _is_one_expression(statements[0]["node"]):
        raise _not_understood(sql, "it is not one expression")
    expressions: list[Any] = statements[0]["node"]["select_list"]
    return expressions


def _is_one_expression(query: Mapping[str, Any]) -> bool:
    """Tell whether a parsed query only selects one value, without FROM, WHERE, set operations and so on."""
    rest = ("where_clause", "group_expressions", "having", "qualify", "sample", "modifiers")
    return (
        query["type"] == "SELECT_NODE"
        and len(query["select_list"]) == 1
        and query["from_table"]["type"] == "EMPTY"
        and not any(query.get(name) for name in rest)
    )


def _check_nodes(database: duckdb.DuckDBPyConnection, sql: str, nodes: Sequence[Mapping[str, Any]]) -> None:
    """Check that the value of an expression depends on one row and its model alone.

    Raises:
        UsageError: It does not.
    """
    for node in nodes:
        if what := _REFUSED.get(node.get("class", "")):
            raise _not_understood(sql, f"{what} has no place in it, as a condition looks at one layer")
    functions = {node["function_name"] for node in nodes if "function_name" in node}
    if aggregates := sorted(functions & _aggregate_functions(database)):
        name = aggregates[0].removesuffix("_star")
        raise _not_understood(sql, f"{name}() looks at many rows, and a condition looks at one layer")
    if changing := sorted(functions & (_CHANGING | _changing_functions(database))):
        raise _not_understood(sql, f"{changing[0]}() does not always return the same")


def _columns(sql: str, paths: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the columns of `index` and of `models` that an expression names.

    Raises:
        UsageError: It names something else, such as `current_timestamp`.
    """
    found: dict[str, set[str]] = {"index_columns": set(), "model_columns": set()}
    for path in paths:
        first = path[0].lower()
        if first == _MODELS and len(path) > 1:
            if path[1].lower() not in _MODEL_COLUMNS:
                raise _not_understood(sql, f"models has no column {unknown_column(path[1], MODELS.names)}")
            found["model_columns"].add(_MODEL_COLUMNS[path[1].lower()])
        elif first in _INDEX_COLUMNS:
            found["index_columns"].add(_INDEX_COLUMNS[first])
        elif first == "index" and len(path) > 1:
            raise _not_understood(sql, f"columns of index are named alone: {path[1]}")
        else:
            raise _not_understood(sql, f"index has no column {unknown_column(path[0], INDEX.names)}")
    return {kind: tuple(sorted(names)) for kind, names in found.items()}


def _column_paths(value: Any, variables: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """Yield the names of columns, in parts, but for those of variables of the functions around them."""
    if isinstance(value, list):
        for child in value:
            yield from _column_paths(child, variables)
    elif isinstance(value, dict) and value.get("class") == "LAMBDA":
        left = list(_column_paths(value["lhs"]))
        own = {path[0].lower() for path in left if len(path) == 1}
        # `models.extra -> 'key'`, which reads JSON, is parsed as a function of a variable too.
        yield from (path for path in left if len(path) > 1 or path[0].lower() in _INDEX_COLUMNS)
        yield from _column_paths(value["expr"], variables | own)
    elif isinstance(value, dict):
        path: list[str] = value["column_names"] if value.get("class") == "COLUMN_REF" else []
        if path and path[0].lower() not in variables:
            yield path
        for child in value.values():
            yield from _column_paths(child, variables)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a parsed statement."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)


def _aggregate_functions(database: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Return functions that have no form for a single row."""
    rows = database.execute(
        "SELECT function_name FROM duckdb_functions() GROUP BY 1 HAVING bool_and(function_type = 'aggregate')"
    ).fetchall()
    return frozenset(name for (name,) in rows)


def _changing_functions(database: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Return functions whose value depends on the time, the session or on chance."""
    # Of the functions of dates, those for times with a zone depend on the session and others do not.
    rows = database.execute(
        "SELECT function_name FROM duckdb_functions() WHERE function_type = 'scalar' GROUP BY 1 "
        "HAVING bool_or(stability = 'VOLATILE') OR bool_and(stability = 'CONSISTENT_WITHIN_QUERY')"
    ).fetchall()
    direct = {name for (name,) in rows}
    macros = database.execute(
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE macro_definition IS NOT NULL"
    ).fetchall()
    return frozenset(direct | {name for name, text in macros if any(f"{other}(" in text for other in direct)})


def _not_understood(sql: str, reason: str) -> UsageError:
    return UsageError(f"where: {sql.strip()}: {reason}")
