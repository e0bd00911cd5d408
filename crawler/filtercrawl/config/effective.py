"""The settings in force and where each comes from, fit to be shown: a secret never is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.config import FILE, Settings, hub_endpoint, is_set, resolve, setting_sources
from filtercrawl.config.urls import redact_url

HIDDEN: Final = "(hidden)"
# Keys of a source's own table whose values nobody should read over a shoulder.
_SECRET: Final = re.compile(r"token|secret|passw|credential|api_?key|signature|cookie|auth", re.IGNORECASE)
_SIZES: Final = ("cache_size", "max_bytes", "max_disk")


@dataclass(frozen=True, kw_only=True)
class ResolvedSetting:
    """One setting. value: as text, None where nothing is set; origin: an option, a variable, the file or `default`."""

    name: str
    value: str | None
    origin: str


def resolved_settings(options: Mapping[str, Any]) -> list[ResolvedSetting]:
    """Return every setting as `options`, the environment and the file here give it; raises UsageError as they do."""
    settings, where = resolve(options), setting_sources(options)
    values = vars(settings) | {"cache": settings.network.cache}
    values |= {name: _format_size(values[name]) for name in _SIZES}
    values |= {f"publish.{name}": value for name, value in vars(settings.publish).items()}
    values |= {f"license.{name}": value for name, value in vars(settings.license_policy).items()}
    if values["publish.notify_cmd"] is not None:  # people put tokens there
        values["publish.notify_cmd"] = f"{values['publish.notify_cmd'].split(' ')[0]} ..."
    found = [
        ResolvedSetting(name=name, value=_text(values[name]), origin=origin) for name, origin in sorted(where.items())
    ]
    found += [ResolvedSetting(name="hub_endpoint", value=redact_url(hub_endpoint()), origin=_variable("HF_ENDPOINT"))]
    return [*found, *_tables(settings)]


def _tables(settings: Settings) -> list[ResolvedSetting]:
    """The tables of the file. Of a token there is only the variable's name, and whether it is set."""
    found = []
    for source, table in sorted(settings.sources.items()):
        for key, value in sorted(table.items()):
            shownas = HIDDEN if _SECRET.search(key) else _text(value)
            found.append(ResolvedSetting(name=f"sources.{source}.{key}", value=shownas, origin=FILE))
    for origin, variable in sorted(settings.network.auth.items()):
        text = f"${variable} ({'set' if is_set(variable) else 'not set'})"
        stated = FILE if origin in settings.auth else "default"
        found.append(ResolvedSetting(name=f'auth."{redact_url(origin)}"', value=text, origin=stated))
    for prefix, mirror in sorted(settings.mirrors.items()):
        found.append(ResolvedSetting(name=f'mirrors."{redact_url(prefix)}"', value=redact_url(mirror), origin=FILE))
    return found


def _text(value: Any) -> str | None:
    """A value as it may be shown; of an address neither credentials nor query."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(str(_text(item)) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={HIDDEN if _SECRET.search(str(key)) else _text(v)}" for key, v in value.items())
    text = str(value)
    return redact_url(text) if "://" in text else text


def _format_size(size: int | None) -> str | None:
    """Write bytes as an option takes them, where that is exact: 16G."""
    if size is None:
        return None
    units = [unit for power, unit in enumerate("kMGT", 1) if size and size % 1024**power == 0]
    return f"{size // 1024 ** len(units)}{units[-1]}" if units else str(size)


def _variable(name: str) -> str:
    return name if is_set(name) else "default"
