"""How the values of a recipe are read: each key is a field of a dataclass, annotated with what its value has to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, TypeVar, get_type_hints

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_name

T = TypeVar("T")


@dataclass(frozen=True)
class Value:
    """What the value of a key has to be.

    Attributes:
        expected: The end of an error: "-3 is not EXPECTED".
        read: Returns the value, or raises TypeError or ValueError.
    """

    expected: str
    read: Callable[[Any], Any]


def read_table(model: type[T], table: Any, prefix: str = "") -> T:
    """Read a table of TOML as a dataclass whose fields are annotated with `Value`, or are such dataclasses themselves.

    Args:
        model: The dataclass.
        table: The table; keys that are left out have their defaults.
        prefix: What errors begin with, `[NAME] ` for a table within another.

    Raises:
        UsageError: A key is unknown or missing, or a value is not what it has to be.
    """
    if not isinstance(table, Mapping):
        raise UsageError(f"{prefix}{table!r} is not a table")
    known = {field.name: field for field in fields(model)}  # type: ignore[arg-type]  # a dataclass
    if unknown := table.keys() - known.keys():
        raise UsageError(f"{prefix}unknown key {unknown_name(min(unknown), known)}")
    hints = get_type_hints(model, include_extras=True)
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = _read(hints[name], table[name], name, prefix)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{prefix}lacks the key {name!r}")
    try:
        return model(**values)
    except ValueError as error:
        raise UsageError(f"{prefix}{error}") from error


def _read(hint: Any, value: Any, name: str, prefix: str) -> Any:
    about = next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Value)), None)
    if about is None:
        return read_table(hint, value, f"[{name}] ")
    try:
        return about.read(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{prefix}{name}: {value!r} is not {about.expected}") from error


def is_a(kind: type[Any]) -> Callable[[Any], Any]:
    """Return a reader of values of one type; a truth value is no number."""

    def read(value: Any) -> Any:
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise TypeError(value)
        return value

    return read


def whole(least: int) -> Value:
    """Return what a whole number from `least` on is."""

    def read(value: Any) -> int:
        if int(is_a(int)(value)) < least:
            raise ValueError(value)
        return int(value)

    return Value(f"a whole number, {least} or more", read)


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[Any], float]:
    """Return a reader of finite numbers between two bounds."""

    def read(value: Any) -> float:
        try:
            found = float(is_a(int)(value) if isinstance(value, int) else is_a(float)(value))
        except OverflowError as error:
            raise ValueError(value) from error
        if not math.isfinite(found) or not least <= found <= most:
            raise ValueError(value)
        return found

    return read


def one_of(*words: str) -> Value:
    """Return what one of these words is."""

    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(value)
        return str(value)

    return Value(f"one of {', '.join(words)}", read)


def _texts(value: Any) -> tuple[str, ...]:
    """Read a list whose order and repetitions say nothing."""
    words = tuple(map(is_a(str), is_a(list)(value)))
    if not words or not all(words):
        raise ValueError(value)
    return tuple(sorted(set(words)))


TEXT: Final = Value("a text", is_a(str))
TEXTS: Final = Value("a list of texts", _texts)
FLAG: Final = Value("true or false", is_a(bool))
FRACTION: Final = Value("a fraction, from 0 to 1", number(0, 1))
SIZE: Final = Value("a number, 0 or more", number(0))
POSITIVE: Final = whole(1)
SEED: Final = whole(0)
