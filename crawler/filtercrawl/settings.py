"""Settings: a command's option, then `FILTERCRAWL_*`, then `filtercrawl.toml`; the only reader of the environment."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from filtercrawl.errors import UsageError
from filtercrawl.extract import POLICIES, KernelPolicy

FILE: Final = "filtercrawl.toml"
PREFIX: Final = "FILTERCRAWL_"
Retry = Literal["all", "due", "none"]
FailOn = Literal["new", "any", "none"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run was asked to do; the fields are the options of `filtercrawl sync`.

    limit: at most so many checkpoints are read. license: SPDX ids to keep, () for all. max_bytes: of checkpoints read
    in one run. max_disk: bytes of the dataset's `layers`. time_limit: seconds.
    rebuild: make the catalog again from the published tables first. sources: the tables `[sources.NAME]`.
    """

    dataset: Path = Path("filtercrawl-dataset")
    limit: int | None = None
    kernel_size: KernelPolicy = "spatial"
    license: tuple[str, ...] = ()
    device: str = "auto"
    jobs: int = 2
    engine: Literal["local"] = "local"
    max_bytes: int | None = None
    max_disk: int | None = None
    time_limit: float | None = None
    prune: bool = False
    retry: Retry = "due"
    dry_run: bool = False
    rebuild: bool = False
    fail_on: FailOn = "new"
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def resolve(options: Mapping[str, Any], folder: Path | None = None) -> Settings:
    """Merge options (None means not given) with the environment and `filtercrawl.toml` in `folder` (default: here).

    Raises UsageError for unknown keys and for values of the wrong kind, naming where they stand.
    """
    path = (folder or Path.cwd()) / FILE
    tables = _read(path)
    values: dict[str, Any] = {"sources": tables.get("sources", {})}
    for key, parse in _PARSERS.items():
        where, raw = _first(key, options, tables.get("sync", {}), path)
        if raw is not None:
            try:
                values[key] = parse(raw)
            except (ValueError, TypeError) as error:
                raise UsageError(f"{where}: {raw!r} is not {error}") from error
    return Settings(**values)


def now() -> datetime:
    """The time of this run in UTC; `SOURCE_DATE_EPOCH` fixes it where builds must be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH: {epoch!r} is not a number of seconds") from error


def _first(key: str, options: Mapping[str, Any], table: Mapping[str, Any], path: Path) -> tuple[str, Any]:
    if options.get(key) is not None:
        return f"--{key.replace('_', '-')}", options[key]
    variable = PREFIX + key.upper()
    if variable in os.environ:
        return variable, os.environ[variable]
    return f"{path.name} [sync] {key}", table.get(key)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    for name, table in tables.items():
        if name not in ("sync", "sources") or not isinstance(table, dict):
            raise UsageError(f"{path}: unknown key {name!r}; this version reads the tables [sync] and [sources.NAME]")
    sync = {key.replace("-", "_"): value for key, value in tables.get("sync", {}).items()}
    unknown = sync.keys() - _PARSERS.keys()
    if unknown:
        raise UsageError(f"{path}: unknown key {min(unknown)!r} in [sync]; known are {', '.join(sorted(_PARSERS))}")
    if not all(isinstance(table, dict) for table in tables.get("sources", {}).values()):
        raise UsageError(f"{path}: [sources] holds tables, one a source: [sources.NAME]")
    return {"sync": sync, "sources": tables.get("sources", {})}


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except (ValueError, TypeError):
        number = -1
    if number < 0 or isinstance(value, bool):
        raise ValueError("a whole number, zero or more")
    return number


def _jobs(value: Any) -> int:
    if _whole(value) < 1:
        raise ValueError("a whole number, one or more")
    return int(value)


def _flag(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _size(value: Any) -> int:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*", str(value).lower())
    if not match:
        raise ValueError("a size such as 500M or 2G")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " "))


def _seconds(value: Any) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", str(value).lower())
    if not match:
        raise ValueError("a time such as 90s, 30m or 5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _words(value: Any) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    words = tuple(str(item).strip() for item in items)
    if not all(words):
        raise ValueError("a list of SPDX licence ids")
    return words


def _one_of(*choices: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return parse


_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "dataset": lambda value: Path(str(value)).expanduser(),
    "limit": _whole,
    "kernel_size": _one_of(*POLICIES),
    "license": _words,
    "device": str,
    "jobs": _jobs,
    "engine": _one_of("local"),
    "max_bytes": _size,
    "max_disk": _size,
    "time_limit": _seconds,
    "prune": _flag,
    "retry": _one_of("all", "due", "none"),
    "dry_run": _flag,
    "rebuild": _flag,
    "fail_on": _one_of("new", "any", "none"),
}
assert set(_PARSERS) == {item.name for item in fields(Settings)} - {"sources"}
