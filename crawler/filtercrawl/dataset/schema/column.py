"""Rows of tables as dataclasses: each field states its Arrow type and what the column means, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Final, Self, TypeVar, dataclass_transform

import pyarrow as pa

__all__ = ["TableRow", "column", "column_like", "table_row"]

_FIELD: Final = "arrow_field"
_DESCRIPTION: Final = "description"


def column(kind: pa.DataType, description: str, *, default: Any = MISSING, nullable: bool | None = None) -> Any:
    """Declare a column of a table, as a field of the row's dataclass.

    Args:
        kind: The Arrow type of the column.
        description: What the column means, in one line of Markdown for the card and the documentation.
        default: The value where none is given. The field is required without one.
        nullable: Whether the column may hold null; by default it may exactly where the default is None.
    """
    may_be_null = default is None if nullable is None else nullable
    # The name is filled in by `table_row`: a field does not know it yet.
    metadata = {_FIELD: pa.field("", kind, nullable=may_be_null), _DESCRIPTION: description}
    return field(default=default, metadata=metadata)


def column_like(row: type[TableRow], name: str, *, default: Any = MISSING) -> Any:
    """Declare a column that means the same as that of another table and has its type."""
    return column(row.SCHEMA.field(name).type, row.DESCRIPTIONS[name], default=default)


class TableRow:
    """Base of the rows of all tables.

    Attributes:
        SCHEMA: The Arrow schema of the table, in the order of the row's fields.
        DESCRIPTIONS: What each column means, by name.
        LIST_COLUMNS: The columns of lists, which a row holds as tuples.
    """

    SCHEMA: ClassVar[pa.Schema]
    DESCRIPTIONS: ClassVar[Mapping[str, str]]
    LIST_COLUMNS: ClassVar[tuple[str, ...]]

    def to_arrow(self) -> dict[str, Any]:
        """Return the row as values of its Arrow columns, by name."""
        return dict(vars(self))

    @classmethod
    def from_arrow(cls, values: Mapping[str, Any]) -> Self:
        """Make a row of the values of Arrow columns; names that are no columns are left out.

        Raises:
            TypeError: A required column is missing.
        """
        row = {name: values[name] for name in cls.DESCRIPTIONS if name in values}
        for name in cls.LIST_COLUMNS:
            if row.get(name) is not None:
                row[name] = tuple(row[name])
        return cls(**row)


R = TypeVar("R", bound=TableRow)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(column, column_like))
def table_row(cls: type[R]) -> type[R]:
    """Make a class with columns a frozen, keyword-only dataclass, and derive its Arrow schema."""
    row = dataclass(frozen=True, kw_only=True)(cls)
    columns = fields(row)  # type: ignore[arg-type]  # mypy does not see that it is a dataclass now
    row.SCHEMA = pa.schema([column.metadata[_FIELD].with_name(column.name) for column in columns])
    row.LIST_COLUMNS = tuple(field.name for field in row.SCHEMA if pa.types.is_list(field.type))
    row.DESCRIPTIONS = {column.name: column.metadata[_DESCRIPTION] for column in columns}
    return row
