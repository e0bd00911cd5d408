"""Find the value of each setting: an option of the command, then `FILTERCRAWL_*`, then `filtercrawl.toml`."""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_name
from filtercrawl.config.dataset_url import working_folder
from filtercrawl.config.environment import cache_home
from filtercrawl.config.fields import SettingField, Table, settings_of, tables_of
from filtercrawl.config.settings import Settings

logger = logging.getLogger(__name__)

FILE: Final = "filtercrawl.toml"
DEFAULT: Final = "default"
_SYNC: Final = Table("sync", "What `sync` and `release` read and write.")
_PREFIX: Final = "FILTERCRAWL_"
# Set for the command that a release runs at its end, which may run filtercrawl again.
_OUTCOME: Final = f"{_PREFIX}OUTCOME"
# Variables that this process has warned about: settings are resolved more than once.
_warned: Final[set[str]] = set()


@dataclass(frozen=True, kw_only=True)
class SettingName:
    """One setting and the names under which it can be given.

    Attributes:
        table: The table of the file that it stands in.
        field: Its description.
        model_field: The field of `Settings` that holds the table; None for `[sync]`, whose keys are fields themselves.
    """

    table: Table
    field: SettingField
    model_field: str | None

    @property
    def name(self) -> str:
        """Its name in `filtercrawl config`: that of a key of `[sync]` alone, else `TABLE.KEY`."""
        return self.field.name if self.model_field is None else f"{self.table.key}.{self.field.name}"

    @property
    def variable(self) -> str | None:
        """The environment variable that it can come from."""
        return f"{_PREFIX}{self.field.name.upper()}" if self.table.environment else None

    @property
    def option(self) -> str:
        return f"--{self.field.name.replace('_', '-')}"


def all_settings() -> Iterator[SettingName]:
    """Yield every setting that has a name of its own, by tables."""
    for field in settings_of(Settings).values():
        yield SettingName(table=_SYNC, field=field, model_field=None)
    for model_field, (table, model) in tables_of(Settings).items():
        if table.parse is None:
            for field in settings_of(model).values():
                yield SettingName(table=table, field=field, model_field=model_field)


def all_tables() -> Mapping[str, Table]:
    """Return every table of the file by its key."""
    return {table.key: table for table in (_SYNC, *(table for table, _ in tables_of(Settings).values()))}


def resolve(options: Mapping[str, Any], folder: Path | None = None, *, keywords: bool = False) -> Settings:
    """Return the settings that hold.

    Args:
        options: Values by setting name; None means that it is not given.
        folder: Where `filtercrawl.toml` is looked for, by default the current folder.
        keywords: Whether the options are keyword arguments of a Python function: errors then name them as such.

    Raises:
        UsageError: A key is unknown or a value is of the wrong kind; the text names where it stands.
    """
    return resolve_with_origins(options, folder, keywords=keywords)[0]


def resolve_with_origins(
    options: Mapping[str, Any], folder: Path | None = None, *, keywords: bool = False
) -> tuple[Settings, dict[str, str]]:
    """Return what `resolve` does, and where each setting comes from: an option, a variable, the file or `default`."""
    path = (folder or Path.cwd()) / FILE
    tables = _read_file(path)
    values: dict[str | None, dict[str, Any]] = {None: {}}
    origins = {}
    known_options = set()
    for setting in all_settings():
        table = values.setdefault(setting.model_field, {})
        if setting.table.environment:
            known_options.add(setting.field.name)
        origin, raw = _find(setting, options, tables.get(setting.table.key, {}), keywords)
        origins[setting.name] = DEFAULT if raw is None else origin
        if raw is not None:
            table[setting.field.name] = _parse(setting.field, raw, origin)
    if unknown := options.keys() - known_options:
        raise UsageError(f"unknown setting {unknown_name(min(unknown), known_options)}")
    top = values.pop(None)
    for model_field, (description, model) in tables_of(Settings).items():
        try:
            if description.parse is None:
                top[model_field] = model(**values[model_field])
            else:
                top[model_field] = description.parse(tables.get(description.key, {}))
        except ValueError as error:
            raise UsageError(f"{path}: [{description.key}] {error}") from error
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    if isinstance(top.get("dataset"), str):
        top["dataset_url"] = top["dataset"]
        top["dataset"] = working_folder(top["dataset_url"], top.get("cache") or cache_home())
    settings = Settings(**top)
    _warn_of_unknown_variables({*settings.auth.values(), _OUTCOME})
    return settings, origins


def _find(
    setting: SettingName, options: Mapping[str, Any], table: Mapping[str, Any], keywords: bool
) -> tuple[str, Any]:
    """Return where a setting is given and what it is there; None where it is given nowhere."""
    name, variable = setting.field.name, setting.variable
    if variable is not None:
        if options.get(name) is not None:
            return name if keywords else setting.option, options[name]
        if os.environ.get(variable, "").strip():  # an empty variable is one that is not set
            return variable, os.environ[variable]
    return f"{FILE} [{setting.table.key}] {name}", table.get(name)


def _warn_of_unknown_variables(others: Collection[str]) -> None:
    """Warn once of variables that look like settings and are none; `others` have another purpose."""
    known = {setting.variable for setting in all_settings() if setting.variable is not None}
    for name in sorted(name for name in os.environ if name.startswith(_PREFIX)):
        if name not in known and name not in others and name not in _warned:
            _warned.add(name)
            logger.warning("unknown environment variable %s", unknown_name(name, known))


def _parse(field: SettingField, raw: Any, origin: str) -> Any:
    try:
        return field.type.parse(raw)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{origin}: {raw!r} is not {field.type.expected}") from error


def _read_file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of a file, every key known; none where there is no file."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    known_tables = all_tables()
    for name, table in tables.items():
        if name not in known_tables or not isinstance(table, dict):
            what = "unknown table" if isinstance(table, dict) else "unknown key"
            raise UsageError(f"{path}: {what} {unknown_name(name, known_tables)}")
    keys: dict[str, list[str]] = {}
    for setting in all_settings():
        keys.setdefault(setting.table.key, []).append(setting.field.name)
    for name, known_keys in keys.items():
        tables[name] = {key.replace("-", "_"): value for key, value in tables.get(name, {}).items()}
        if unknown := tables[name].keys() - set(known_keys):
            raise UsageError(f"{path}: [{name}] unknown key {unknown_name(min(unknown), known_keys)}")
    return tables
