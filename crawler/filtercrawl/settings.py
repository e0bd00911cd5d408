"""Settings: a command's option, then `FILTERCRAWL_*`, then `filtercrawl.toml`; the only reader of the environment."""

from __future__ import annotations

import os
import re
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from filtercrawl.errors import UsageError
from filtercrawl.rights import LicensePolicy
from filtercrawl.transport.address import origin
from filtercrawl.vocabulary import POLICIES, KernelPolicy

FILE: Final = "filtercrawl.toml"
PREFIX: Final = "FILTERCRAWL_"
HUB: Final = "https://huggingface.co"
Retry = Literal["all", "due", "none"]
FailOn = Literal["new", "any", "none"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What the transport must know.

    auth: origin (`https://host`) -> the name of the environment variable with its token. mirrors: URL prefix -> the
    prefix asked instead, both ending in a slash. max_requests, max_bytes: of one run, None for no bound. cache: the
    folder for fetched bytes, None for one that goes with the run; cache_size: its bytes, None for no bound.
    """

    auth: Mapping[str, str] = field(default_factory=dict)
    mirrors: Mapping[str, str] = field(default_factory=dict)
    max_requests: int | None = None
    max_bytes: int | None = None
    cache: Path | None = None
    cache_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """The table `[publish]`.

    max_lost: the share of the last release's layers, or models, that a release may lack before it is refused, 0 to 1.
    notify_cmd: a command that is run once at the end of a release, by words, without a shell. summary: a file for what
    the release did, in Markdown. sign_key: a file with the private key by which versions are signed.
    """

    max_lost: float = 0.05
    notify_cmd: str | None = None
    summary: Path | None = None
    sign_key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run was asked to do; the fields are the options of `filtercrawl sync`.

    limit: at most so many checkpoints are read. license: SPDX ids to keep, () for all. max_bytes: read from
    checkpoints in one run, and from the network. max_requests: sent in one run. max_disk: bytes of all `layers`.
    prove: fetch files whole where their sha256 is stated, so that it is held against every byte.
    cache: the folder for fetched bytes, None for the user's own; cache_size: how many it may hold between runs.
    time_limit: seconds. rebuild: make the catalog again from the published tables first. opt_out: what is never
    fetched nor kept, as `SOURCE:PATTERN` or as a URL pattern; opt_out_from: files or URLs with more, one a line.
    sources, auth, mirrors, publish: the tables of these names; license_policy: the table `license`.
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
    cache: Path | None = None
    cache_size: int = 16 * 1024**3
    max_requests: int | None = None
    time_limit: float | None = None
    prove: bool = False
    prune: bool = False
    retry: Retry = "due"
    dry_run: bool = False
    rebuild: bool = False
    fail_on: FailOn = "new"
    opt_out: tuple[str, ...] = ()
    opt_out_from: tuple[str, ...] = ()
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    auth: Mapping[str, str] = field(default_factory=dict)
    mirrors: Mapping[str, str] = field(default_factory=dict)
    license_policy: LicensePolicy = field(default_factory=LicensePolicy)
    publish: PublishSettings = field(default_factory=PublishSettings)

    @property
    def network(self) -> NetworkSettings:
        """What of it the transport must know; the Hub's own token serves where nothing else is named."""
        auth = dict(self.auth)
        if os.environ.get("HF_TOKEN"):
            auth.setdefault(origin(hub_endpoint()), "HF_TOKEN")
        return NetworkSettings(
            auth=auth,
            mirrors=self.mirrors,
            max_requests=self.max_requests,
            max_bytes=self.max_bytes,
            cache=self.cache or cache_home(),
            cache_size=self.cache_size,
        )


def resolve(options: Mapping[str, Any], folder: Path | None = None) -> Settings:
    """Merge options (None means not given) with the environment and `filtercrawl.toml` in `folder` (default: here).

    Raises UsageError for unknown keys and for values of the wrong kind, naming where they stand.
    """
    path = (folder or Path.cwd()) / FILE
    tables = _read(path)
    values: dict[str, Any] = {
        "sources": tables.get("sources", {}),
        "auth": _auth(tables.get("auth", {}), path),
        "mirrors": _mirrors(tables.get("mirrors", {}), path),
        "license_policy": LicensePolicy.of(tables.get("license", {}), f"{path}: [license]"),
    }
    values["publish"] = PublishSettings(**_parsed("publish", _PUBLISH, options, tables, path))
    return Settings(**values, **_parsed("sync", _PARSERS, options, tables, path))


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


def origins(options: Mapping[str, Any], folder: Path | None = None) -> dict[str, str]:
    """Return where each setting of `resolve` comes from: an option, a variable, the file, or `default`.

    By its name; those of the table `[publish]` as `publish.NAME`.
    """
    path = (folder or Path.cwd()) / FILE
    tables = _read(path)
    found = {}
    for name, parsers, prefix in (("sync", _PARSERS, ""), ("publish", _PUBLISH, "publish.")):
        for key in parsers:
            where, raw = _first(key, options, name, tables.get(name, {}), path)
            found[prefix + key] = "default" if raw is None else where
    return found


def is_set(variable: str) -> bool:
    """Tell whether an environment variable holds anything; what it holds may be a secret."""
    return bool(os.environ.get(variable, "").strip())


def now() -> datetime:
    """The time of this run in UTC; `SOURCE_DATE_EPOCH` fixes it where builds must be reproducible."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH: {epoch!r} is not a number of seconds") from error


def cache_home() -> Path:
    """The folder for what may be fetched again: `XDG_CACHE_HOME/filtercrawl`, by default below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "filtercrawl"


def hub_endpoint() -> str:
    """The address of the Hugging Face Hub, which `HF_ENDPOINT` may move; no slash at its end."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def secret(variable: str) -> str:
    """Return the token in an environment variable; raises UsageError, which never shows it, where it is none."""
    token = os.environ.get(variable, "").strip()
    if not token:
        raise UsageError(f"the environment variable {variable} is named as a token, but it is not set")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"the environment variable {variable} holds no token: only printable ASCII makes one")
    return token


def step_summary() -> Path | None:
    """The file in which GitHub Actions wants Markdown about a step, None elsewhere."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(path) if path else None


def environment(**more: str) -> dict[str, str]:
    """Return what a command that is run for the user finds in its environment."""
    return {**os.environ, **more}


def proxy(scheme: str, netloc: str) -> str | None:
    """Return the proxy that the environment names for a host, None where it is asked directly."""
    if urllib.request.proxy_bypass(netloc):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(scheme) or proxies.get("all")
    return found if found is None or "://" in found else f"http://{found}"


def _first(key: str, options: Mapping[str, Any], name: str, table: Mapping[str, Any], path: Path) -> tuple[str, Any]:
    if options.get(key) is not None:
        return f"--{key.replace('_', '-')}", options[key]
    variable = PREFIX + key.upper()
    if variable in os.environ:
        return variable, os.environ[variable]
    return f"{path.name} [{name}] {key}", table.get(key)


def _read(path: Path) -> dict[str, dict[str, Any]]:
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
    for name, parsers in (("sync", _PARSERS), ("publish", _PUBLISH)):
        plain[name] = {key.replace("-", "_"): value for key, value in tables.get(name, {}).items()}
        unknown = plain[name].keys() - parsers.keys()
        if unknown:
            known = ", ".join(sorted(parsers))
            raise UsageError(f"{path}: unknown key {min(unknown)!r} in [{name}]; known are {known}")
    if not all(isinstance(table, dict) for table in tables.get("sources", {}).values()):
        raise UsageError(f"{path}: [sources] holds tables, one a source: [sources.NAME]")
    return tables | plain


def _auth(table: Mapping[str, Any], path: Path) -> dict[str, str]:
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


def _mirrors(table: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return URL prefix -> URL prefix, cut at slashes so that no other host begins with one."""
    try:
        for url in (*table, *table.values()):
            origin(url if isinstance(url, str) else "")
    except UsageError as error:
        raise UsageError(f"{path}: [mirrors]: {error}") from error
    return {prefix.rstrip("/") + "/": mirror.rstrip("/") + "/" for prefix, mirror in table.items()}


def _whole(value: Any) -> int:
    try:
        number = int(value)
    except (ValueError, TypeError):
        number = -1
    if number < 0 or isinstance(value, bool):
        raise ValueError("a whole number, zero or more")
    return number


def _share(value: Any) -> float:
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = -1.0
    if not 0 <= number <= 1 or isinstance(value, bool):
        raise ValueError("a share, from 0 to 1")
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


def _words(what: str) -> Callable[[Any], Any]:
    def parse(value: Any) -> tuple[str, ...]:
        items = value.split(",") if isinstance(value, str) else value
        words = tuple(str(item).strip() for item in items)
        if not all(words):
            raise ValueError(what)
        return words

    return parse


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
    "license": _words("a list of SPDX licence ids"),
    "device": str,
    "jobs": _jobs,
    "engine": _one_of("local"),
    "max_bytes": _size,
    "max_disk": _size,
    "cache": lambda value: Path(str(value)).expanduser(),
    "cache_size": _size,
    "max_requests": _whole,
    "time_limit": _seconds,
    "prove": _flag,
    "prune": _flag,
    "retry": _one_of("all", "due", "none"),
    "dry_run": _flag,
    "rebuild": _flag,
    "fail_on": _one_of("new", "any", "none"),
    "opt_out": _words("a list of SOURCE:PATTERN or URL patterns"),
    "opt_out_from": _words("a list of files or URLs"),
}
_PUBLISH: Final[Mapping[str, Callable[[Any], Any]]] = {
    "max_lost": _share,
    "notify_cmd": str,
    "summary": lambda value: Path(str(value)).expanduser(),
    "sign_key": lambda value: Path(str(value)).expanduser(),
}
_TABLES: Final = {"sources", "auth", "mirrors", "publish", "license_policy"}
assert set(_PARSERS) == {item.name for item in fields(Settings)} - _TABLES
assert set(_PUBLISH) == {item.name for item in fields(PublishSettings)}
