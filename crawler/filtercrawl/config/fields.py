"""How a setting is described: its type, default, help text and unit, in the annotation of its field.

A table of settings is a frozen dataclass whose fields are annotated as `Annotated[TYPE, Setting(HELP)]`. The command
line's options, the environment variables, the keys of `filtercrawl.toml`, `filtercrawl config` and the docs are all
derived from `settings_of`. TYPE is one of the types here (`Size`, `Duration`, `Count`, ...), `bool`, `str`, a `Literal`
or `tuple[str, ...]`, each of them also with `| None`.

pydantic-settings does the same with a dependency more. It was measured and left out: importing it and building one
model adds 0.14 s of CPU time to the 0.27 s of `filtercrawl --help`, it does not tell which source a value came from
(which `filtercrawl config` and every error here must name), and its errors and Typer options would be translated by as
much code as this module has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from os import fspath
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

_SIZE: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*")
_DURATION: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*")
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_BOOLEANS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class ValueType:
    """How values of one type are read and shown.

    Attributes:
        expected: What a value has to be, for errors: "0 is not EXPECTED".
        metavar: What stands for the value in help.
        parse: Turns what an option, a variable or the file holds into the value; raises ValueError or TypeError.
        show: Turns the value into text that `parse` reads back.
        unit: The unit of a number, None where it has none.
    """

    expected: str
    metavar: str
    parse: Callable[[Any], Any]
    show: Callable[[Any], str] = str
    unit: str | None = None


@dataclass(frozen=True)
class Setting:
    """What is said of a setting beside its type and default.

    Attributes:
        help: What it does, a sentence.
        metavar: What stands for its value in help, where the type's own word is not clear enough.
        default_text: The default as help shows it, where it depends on the machine.
        option: Whether commands have an option for it.
        private: Whether its value may hold a secret, so that only the first word of it is ever shown.
    """

    help: str
    metavar: str | None = None
    default_text: str | None = None
    option: bool = True
    private: bool = False


@dataclass(frozen=True)
class Table:
    """A table of `filtercrawl.toml`, in the annotation of the field of `Settings` that holds it.

    Attributes:
        key: Its name in the file.
        help: What it holds, a sentence.
        parse: Reads a table whose keys are free; None for one whose keys are the settings of a dataclass.
        environment: Whether its settings can also come from options and environment variables.
    """

    key: str
    help: str
    parse: Callable[[Mapping[str, Any]], Any] | None = None
    environment: bool = True


@dataclass(frozen=True, kw_only=True)
class SettingField:
    """One setting, as its field in a dataclass describes it."""

    name: str
    type: ValueType
    about: Setting
    default: Any
    is_flag: bool = False
    is_list: bool = False

    @property
    def metavar(self) -> str:
        return self.about.metavar or self.type.metavar

    @property
    def default_text(self) -> str | None:
        """The default for help; None where leaving the setting out means that nothing is set."""
        if self.about.default_text is not None:
            return self.about.default_text
        return None if self.default in (None, False, ()) else self.type.show(self.default)


def settings_of(model: type[Any]) -> Mapping[str, SettingField]:
    """Return the settings that a dataclass describes, by name, in the order of its fields."""
    described = {}
    hints = get_type_hints(model, include_extras=True)
    for item in fields(model):
        about = _annotation(hints[item.name], Setting)
        if about is not None:
            value_type, plain = _value_type(hints[item.name])
            described[item.name] = SettingField(
                name=item.name,
                type=value_type,
                about=about,
                default=None if item.default is MISSING else item.default,
                is_flag=plain is bool,
                is_list=get_origin(plain) is tuple,
            )
    return described


def tables_of(model: type[Any]) -> Mapping[str, tuple[Table, type[Any]]]:
    """Return the tables that a dataclass holds: field name to the table's description and the field's type."""
    hints = get_type_hints(model, include_extras=True)
    found = {item.name: (_annotation(hints[item.name], Table), hints[item.name]) for item in fields(model)}
    return {name: (table, get_args(hint)[0]) for name, (table, hint) in found.items() if table is not None}


def _annotation(hint: Any, kind: type[Any]) -> Any:
    """Return what `Annotated` holds of one kind; None where there is none."""
    return next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, kind)), None)


def _value_type(hint: Any) -> tuple[ValueType, Any]:
    """Return how values of an annotated type are read, and the type without annotations and `| None`."""
    stated = _annotation(hint, ValueType)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        [hint] = [option for option in get_args(hint) if option is not NoneType]
        stated = stated or _annotation(hint, ValueType)
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
    if stated is not None:
        return stated, hint
    if get_origin(hint) is Literal:
        return _choice(get_args(hint)), hint
    return _PLAIN[hint], hint


def _choice(choices: tuple[str, ...]) -> ValueType:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(value)
        return str(value)

    return ValueType(expected=f"one of {', '.join(choices)}", metavar="|".join(choices), parse=parse)


def _parse_count(value: Any) -> int:
    number = int(value)
    if number < 0 or isinstance(value, bool) or number != float(value):
        raise ValueError(value)
    return number


def _parse_positive(value: Any) -> int:
    if _parse_count(value) < 1:
        raise ValueError(value)
    return int(value)


def _parse_fraction(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1 or isinstance(value, bool):
        raise ValueError(value)
    return number


def _parse_bool(value: Any) -> bool:
    if str(value).lower() not in _BOOLEANS:
        raise ValueError(value)
    return _BOOLEANS[str(value).lower()]


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def parse_path(value: Any) -> Path:
    """Read a path; `~` is the home folder."""
    text = fspath(value)
    if not isinstance(text, str) or text == "":
        raise TypeError(value)
    return Path(text).expanduser()


def show_path(value: Path) -> str:
    """Write a path so that it cannot be taken for a name."""
    return str(value) if value.is_absolute() else f"./{value}"


def _parse_list(value: Any) -> tuple[str, ...]:
    words = tuple(str(item).strip() for item in (value.split(",") if isinstance(value, str) else value))
    if not all(words):
        raise ValueError(value)
    return words


def parse_size(value: Any) -> int:
    """Read a number of bytes: 500M, 1.5 GiB or 77; units are powers of 1024."""
    match = _SIZE.fullmatch(str(value).lower())
    if not match:
        raise ValueError(value)
    return int(Decimal(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def show_size(size: int) -> str:
    """Write a number of bytes with the largest unit that is exact: 16G."""
    units = [unit for power, unit in enumerate("kMGT", 1) if size and size % 1024**power == 0]
    return f"{size // 1024 ** len(units)}{units[-1]}" if units else str(size)


def parse_duration(value: Any) -> float:
    """Read a number of seconds: 90s, 30m, 5h, 1d or 90."""
    match = _DURATION.fullmatch(str(value).lower())
    if not match:
        raise ValueError(value)
    return float(match[1]) * _SECONDS[match[2] or "s"]


def show_duration(seconds: float) -> str:
    """Write a number of seconds with the largest unit that is exact: 5h."""
    for unit, length in _SECONDS.items():
        if seconds and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{Decimal(str(seconds)).normalize():f}s"


_LIST: Final = ValueType(expected="a list of texts", metavar="TEXT", parse=_parse_list, show=", ".join)
_PLAIN: Final[Mapping[Any, ValueType]] = {
    bool: ValueType(
        expected="true or false", metavar="true|false", parse=_parse_bool, show=lambda value: str(value).lower()
    ),
    str: ValueType(expected="a text", metavar="TEXT", parse=_parse_text),
    tuple[str, ...]: _LIST,
}

Count = Annotated[int, ValueType(expected="a whole number, zero or more", metavar="N", parse=_parse_count)]
PositiveCount = Annotated[int, ValueType(expected="a whole number, one or more", metavar="N", parse=_parse_positive)]
Fraction = Annotated[float, ValueType(expected="a fraction, from 0 to 1", metavar="FRACTION", parse=_parse_fraction)]
Size = Annotated[
    int,
    ValueType(expected="a size such as 500M or 2G", metavar="SIZE", parse=parse_size, show=show_size, unit="bytes"),
]
Duration = Annotated[
    float,
    ValueType(
        expected="a duration such as 90s, 30m or 5h",
        metavar="DURATION",
        parse=parse_duration,
        show=show_duration,
        unit="seconds",
    ),
]
Folder = Annotated[Path, ValueType(expected="a path", metavar="DIR", parse=parse_path, show=show_path)]
File = Annotated[Path, ValueType(expected="a path", metavar="FILE", parse=parse_path, show=show_path)]
