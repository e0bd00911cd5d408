"""The settings that hold and where each comes from, as they may be shown: without any secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.config.environment import hub_endpoint, is_set
from filtercrawl.config.resolve import DEFAULT, FILE, SettingName, all_settings, resolve_with_origins
from filtercrawl.config.settings import Settings
from filtercrawl.config.urls import redact_url

_HIDDEN: Final = "(hidden)"
# Keys of a source's own table whose values may be secrets.
_SECRET: Final = re.compile(r"token|secret|passw|credential|api_?key|signature|cookie|auth", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ResolvedSetting:
    """One setting, ready to be shown.

    Attributes:
        name: Its name, with that of its table before it unless that is `[sync]`.
        value: Its value as text, None where nothing is set.
        origin: An option, an environment variable, a place in the file or `default`.
    """

    name: str
    value: str | None
    origin: str


def resolved_settings(options: Mapping[str, Any]) -> list[ResolvedSetting]:
    """Return every setting that options, the environment and the file in the current folder give.

    Raises:
        UsageError: A key is unknown or a value is of the wrong kind.
    """
    settings, origins = resolve_with_origins(options)
    named = {setting.name: _show(setting, settings) for setting in all_settings()}
    named["cache"] = str(settings.network.cache)
    if settings.dataset_url is not None:
        named["dataset"] = redact_url(settings.dataset_url)
    rows = [ResolvedSetting(name=name, value=named[name], origin=origins[name]) for name in sorted(named)]
    endpoint_origin = "HF_ENDPOINT" if is_set("HF_ENDPOINT") else DEFAULT
    rows.append(ResolvedSetting(name="hub_endpoint", value=redact_url(hub_endpoint()), origin=endpoint_origin))
    return [*rows, *_free_tables(settings)]


def _show(setting: SettingName, settings: Settings) -> str | None:
    holder = settings if setting.model_field is None else getattr(settings, setting.model_field)
    value = getattr(holder, setting.field.name)
    if value is None:
        return None
    if setting.field.is_list:
        value = tuple(map(_text, value))
    text = setting.field.type.show(value)
    if setting.field.about.private:
        return f"{text.split(' ')[0]} ..."
    return redact_url(text) if "://" in text and not setting.field.is_list else text


def _free_tables(settings: Settings) -> Iterator[ResolvedSetting]:
    """Yield the entries of tables with free keys; of a token only the variable's name, and whether it is set."""
    for source, table in sorted(settings.sources.items()):
        for key, value in sorted(table.items()):
            shown = _HIDDEN if _SECRET.search(key) else _text(value)
            yield ResolvedSetting(name=f"sources.{source}.{key}", value=shown, origin=FILE)
    for origin, variable in sorted(settings.network.auth.items()):
        text = f"${variable} ({'set' if is_set(variable) else 'not set'})"
        stated = FILE if origin in settings.auth else DEFAULT
        yield ResolvedSetting(name=f'auth."{redact_url(origin)}"', value=text, origin=stated)
    for prefix, mirror in sorted(settings.mirrors.items()):
        yield ResolvedSetting(name=f'mirrors."{redact_url(prefix)}"', value=redact_url(mirror), origin=FILE)


def _text(value: Any) -> str:
    """Return a value, or an item of a list, as text; of a URL neither credentials nor query."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_HIDDEN if _SECRET.search(str(key)) else _text(item)}" for key, item in value.items())
    text = str(value)
    return redact_url(text) if "://" in text else text
