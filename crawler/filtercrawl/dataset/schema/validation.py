"""Checks of what readers, sources and measures report, against the types of the Arrow columns that will hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

import pyarrow as pa

from filtercrawl.api.errors import FormatError
from filtercrawl.api.formatting import shown
from filtercrawl.api.untrusted_names import escape_name, is_text
from filtercrawl.dataset.schema.column import TableRow

R = TypeVar("R", bound=TableRow)

_BATCH: Final = 10_000


class RowCheck:
    """Checks rows against the schema of their table, which is looked at once: there are several checks a layer."""

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [(field.name, field.nullable, field.type, _check_of(field.type)) for field in schema]

    def require(self, where: str, row: Mapping[str, Any]) -> None:
        """Check the columns of a row that are not null so far.

        Args:
            where: What the row describes, for the message.
            row: Values by column name.

        Raises:
            FormatError: A column cannot hold its value; the message names the first.
        """
        given = {name: value for name, value in row.items() if value is not None}
        if (fault := self.fault(given)) is not None:
            raise FormatError(f"{where}: {fault}")

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Say which value of a row its column cannot hold; None where all fit. Columns it lacks are not checked."""
        for name, nullable, kind, is_fit in self._columns:
            if name not in row:
                continue
            value = row[name]
            if value is None:
                if not nullable:
                    return f"{name} is missing"
            elif not is_fit(value):
                what = f"lists of {kind.value_type}" if pa.types.is_list(kind) else str(kind)
                return f"{name} is {shown(value)}, which does not fit its column ({what})"
        return None


def unfit(rows: Iterable[R], schema: pa.Schema) -> Iterator[tuple[R, str]]:
    """Yield the rows that their table cannot hold, and why. Whole batches are tried first, which takes little time."""
    rest = iter(rows)
    required = [field.name for field in schema if not field.nullable]
    check = RowCheck(schema)
    while batch := list(islice(rest, _BATCH)):
        try:
            table = pa.RecordBatch.from_pylist([row.to_arrow() for row in batch], schema=schema)
            if not any(table[name].null_count for name in required):
                continue
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            pass
        for row in batch:
            fault = check.fault(row.to_arrow())
            if fault is not None:
                yield row, fault


def storable(row: R) -> R:
    """Return a row that its table can hold: text that is not printable is escaped, other unfit values are null.

    For what sources state of a checkpoint (a license, a date, a step), which is no reason not to read it.
    """
    values = row.to_arrow()
    changes: dict[str, Any] = {}
    for field in row.SCHEMA:
        value = values[field.name]
        if value is not None:
            escaped = _escaped(value)
            if not fits(escaped, field.type):
                changes[field.name] = None
            elif escaped is not value:
                changes[field.name] = escaped
    return replace(row, **changes) if changes else row  # type: ignore[type-var]  # every row is a dataclass


def fits(value: object, kind: pa.DataType) -> bool:
    """Tell whether a column of an Arrow type can hold a value as it is. A boolean is not an integer."""
    return _check_of(kind)(value)


@cache
def _check_of(kind: pa.DataType) -> Callable[[object], bool]:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        item_fits = _check_of(kind.value_type)
        return lambda value: isinstance(value, list | tuple) and all(map(item_fits, value))
    if pa.types.is_integer(kind):
        bound = 1 << kind.bit_width - 1
        return lambda value: type(value) is int and -bound <= value < bound
    if pa.types.is_floating(kind):
        return lambda value: isinstance(value, float) or (type(value) is int and abs(value) <= 1 << 53)
    return _PLAIN.get(kind, lambda _: True)


def _escaped(value: object) -> object:
    """Return a text, or a list of texts, as `untrusted_names` stores it; anything else as it is."""
    if isinstance(value, str):
        return value if value.isprintable() else escape_name(value)
    if isinstance(value, list | tuple) and not all(isinstance(item, str) and item.isprintable() for item in value):
        return tuple(map(_escaped, value))
    return value


_PLAIN: Final[Mapping[pa.DataType, Callable[[object], bool]]] = {
    pa.string(): is_text,
    pa.bool_(): lambda value: isinstance(value, bool),
    pa.timestamp("us", tz="UTC"): lambda value: isinstance(value, datetime),
}
