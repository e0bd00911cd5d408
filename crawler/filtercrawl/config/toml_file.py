"""The file `filtercrawl.toml`: its tables, with every key known."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config.parsers import PUBLISH, SYNC
from filtercrawl.config.urls import origin

FILE: Final = "filtercrawl.toml"


def read_config_file(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of a file, none where there is no file; raises UsageError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    for name, table in tables.items():
        if name not in ("sync", "license", "publish", "sources", "auth", "mirrors") or not isinstance(table, dict):
            known = '[sync], [license], [publish], [sources.NAME], [auth."ORIGIN"] and [mirrors]'
            raise UsageError(f"{path}: unknown key {name!r}; this version reads the tables {known}")
    plain = {}
    for name, parsers in (("sync", SYNC), ("publish", PUBLISH)):
        plain[name] = {key.replace("-", "_"): value for key, value in tables.get(name, {}).items()}
        unknown = plain[name].keys() - parsers.keys()
        if unknown:
            known = ", ".join(sorted(parsers))
            raise UsageError(f"{path}: unknown key {min(unknown)!r} in [{name}]; known are {known}")
    if not all(isinstance(table, dict) for table in tables.get("sources", {}).values()):
        raise UsageError(f"{path}: [sources] holds tables, one a source: [sources.NAME]")
    return tables | plain


def auth(table: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return origin -> environment variable; a token itself has no place in a file."""
    found = {}
    for url, entry in table.items():
        where = f'{path}: [auth."{url}"]'
        variable = entry.get("token_env") if isinstance(entry, dict) else None
        if not isinstance(variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable) or len(entry) != 1:
            raise UsageError(f'{where} holds one key, token_env = "NAME", the environment variable with the token')
        try:
            name = origin(url)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        if url.lower().rstrip("/") != name:
            raise UsageError(f"{where}: a token belongs to an origin, here {name}")
        found[name] = variable
    return found


def mirrors(table: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return URL prefix -> URL prefix, cut at slashes so that no other host begins with one."""
    try:
        for url in (*table, *table.values()):
            origin(url if isinstance(url, str) else "")
    except UsageError as error:
        raise UsageError(f"{path}: [mirrors]: {error}") from error
    return {prefix.rstrip("/") + "/": mirror.rstrip("/") + "/" for prefix, mirror in table.items()}
