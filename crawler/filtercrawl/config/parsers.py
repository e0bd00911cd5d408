"""How a setting's value is read, wherever it stands; each raises ValueError that says what it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.vocabulary import POLICIES
from filtercrawl.config.settings import PublishSettings, Settings


def parse_nonneg_int(value: Any) -> int:
    try:
        number = int(value)
    except (ValueError, TypeError):
        number = -1
    if number < 0 or isinstance(value, bool):
        raise ValueError("a whole number, zero or more")
    return number


def parse_fraction(value: Any) -> float:
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = -1.0
    if not 0 <= number <= 1 or isinstance(value, bool):
        raise ValueError("a share, from 0 to 1")
    return number


def parse_jobs(value: Any) -> int:
    if parse_nonneg_int(value) < 1:
        raise ValueError("a whole number, one or more")
    return int(value)


def parse_bool(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def parse_size(value: Any) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", str(value).lower())
    if not match:
        raise ValueError("a size such as 500M or 2G")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def parse_duration(value: Any) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value).lower())
    if not match:
        raise ValueError("a time such as 90s, 30m or 5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def parse_path(value: Any) -> Path:
    return Path(str(value)).expanduser()


def parse_list(what: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        words = tuple(str(item).strip() for item in items)
        if not all(words):
            raise ValueError(what)
        return words

    return parse


def one_of(*choices: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return parse


# The keys of the tables `[sync]` and `[publish]`, and how each value is read.
SYNC: Final[Mapping[str, Callable[[Any], Any]]] = {
    "dataset": parse_path,
    "limit": parse_nonneg_int,
    "kernel_size": one_of(*POLICIES),
    "license": parse_list("a list of SPDX licence ids"),
    "device": str,
    "jobs": parse_jobs,
    "engine": one_of("local"),
    "max_bytes": parse_size,
    "max_disk": parse_size,
    "cache": parse_path,
    "cache_size": parse_size,
    "max_requests": parse_nonneg_int,
    "time_limit": parse_duration,
    "prove": parse_bool,
    "prune": parse_bool,
    "retry": one_of("all", "due", "none"),
    "dry_run": parse_bool,
    "rebuild": parse_bool,
    "fail_on": one_of("new", "any", "none"),
    "opt_out": parse_list("a list of SOURCE:PATTERN or URL patterns"),
    "opt_out_from": parse_list("a list of files or URLs"),
}
PUBLISH: Final[Mapping[str, Callable[[Any], Any]]] = {
    "max_lost": parse_fraction,
    "notify_cmd": str,
    "summary": parse_path,
    "sign_key": parse_path,
}
_TABLES: Final = {"sources", "auth", "mirrors", "publish", "license_policy"}
assert set(SYNC) == {item.name for item in fields(Settings)} - _TABLES
assert set(PUBLISH) == {item.name for item in fields(PublishSettings)}
