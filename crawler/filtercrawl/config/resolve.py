"""Where a setting comes from: a command's option, then `FILTERCRAWL_*`, then `filtercrawl.toml`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.config.parsers import PUBLISH, SYNC
from filtercrawl.config.settings import PublishSettings, Settings
from filtercrawl.config.toml_file import FILE, auth, mirrors, read_config_file

PREFIX: Final = "FILTERCRAWL_"


def resolve(options: Mapping[str, Any], folder: Path | None = None) -> Settings:
    """Merge options (None means not given) with the environment and `filtercrawl.toml` in `folder` (default: here).

    Raises UsageError for unknown keys and for values of the wrong kind, naming where they stand.
    """
    path = (folder or Path.cwd()) / FILE
    tables = read_config_file(path)
    values: dict[str, Any] = {
        "sources": tables.get("sources", {}),
        "auth": auth(tables.get("auth", {}), path),
        "mirrors": mirrors(tables.get("mirrors", {}), path),
        "license_policy": LicensePolicy.of(tables.get("license", {}), f"{path}: [license]"),
    }
    values["publish"] = PublishSettings(**_parsed("publish", PUBLISH, options, tables, path))
    return Settings(**values, **_parsed("sync", SYNC, options, tables, path))


def _parsed(
    name: str,
    parsers: Mapping[str, Callable[[Any], Any]],
    options: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, Any]],
    path: Path,
) -> dict[str, Any]:
    """Return what is set of one table's keys, wherever it is set."""
    values = {}
    for key, parse in parsers.items():
        where, raw = _first(key, options, name, tables.get(name, {}), path)
        if raw is not None:
            try:
                values[key] = parse(raw)
            except (ValueError, TypeError) as error:
                raise UsageError(f"{where}: {raw!r} is not {error}") from error
    return values


def setting_sources(options: Mapping[str, Any], folder: Path | None = None) -> dict[str, str]:
    """Return where each setting of `resolve` comes from: an option, a variable, the file, or `default`.

    By its name; those of the tables `[publish]` and `[license]` as `publish.NAME` and `license.NAME`.
    """
    path = (folder or Path.cwd()) / FILE
    tables = read_config_file(path)
    found = {}
    for name, parsers, prefix in (("sync", SYNC, ""), ("publish", PUBLISH, "publish.")):
        for key in parsers:
            where, raw = _first(key, options, name, tables.get(name, {}), path)
            found[prefix + key] = "default" if raw is None else where
    stated = tables.get("license", {})
    for key in (item.name for item in fields(LicensePolicy)):
        found[f"license.{key}"] = f"{path.name} [license] {key}" if key in stated else "default"
    return found


def _first(key: str, options: Mapping[str, Any], name: str, table: Mapping[str, Any], path: Path) -> tuple[str, Any]:
    if options.get(key) is not None:
        return f"--{key.replace('_', '-')}", options[key]
    variable = PREFIX + key.upper()
    if variable in os.environ:
        return variable, os.environ[variable]
    return f"{path.name} [{name}] {key}", table.get(key)
