"""The tables of `filtercrawl.toml` whose keys are free: `[sources.NAME]`, `[auth."ORIGIN"]` and `[mirrors]`.

Each function takes a table as the file holds it and returns it checked; each raises UsageError, whose text begins with
the name of the table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config.urls import origin

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parse_sources(table: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return source name to the source's own settings."""
    if not all(isinstance(settings, dict) for settings in table.values()):
        raise UsageError("[sources] holds one table a source: [sources.NAME]")
    return dict(table)


def parse_auth(table: Mapping[str, Any]) -> dict[str, str]:
    """Return origin to the name of the environment variable with its token; a token itself must not be in a file."""
    variables = {}
    for url, entry in table.items():
        where = f'[auth."{url}"]'
        variable = entry.get("token_env") if isinstance(entry, dict) else None
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable) or len(entry) != 1:
            raise UsageError(f'{where} holds one key, token_env = "NAME", the environment variable with the token')
        try:
            name = origin(url)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error
        if url.lower().rstrip("/") != name:
            raise UsageError(f"{where}: a token belongs to an origin, here {name}")
        variables[name] = variable
    return variables


def parse_mirrors(table: Mapping[str, Any]) -> dict[str, str]:
    """Return URL prefix to URL prefix, all ending in a slash so that a prefix matches one host only."""
    for prefix, mirror in table.items():
        if not isinstance(mirror, str):
            raise UsageError(f'[mirrors] "{prefix}": {mirror!r} is not a URL in quotation marks')
        for url in (prefix, mirror):
            try:
                origin(url)
            except UsageError as error:
                raise UsageError(f'[mirrors] "{prefix}": {error}') from error
    return {prefix.rstrip("/") + "/": mirror.rstrip("/") + "/" for prefix, mirror in table.items()}
