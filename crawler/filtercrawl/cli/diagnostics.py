"""The checks of `filtercrawl doctor`."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from filtercrawl.api.errors import FiltercrawlError, UsageError
from filtercrawl.api.extras import EXTRAS, missing_extra
from filtercrawl.api.hookspecs import API_VERSION
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings, device, hub_endpoint, is_set
from filtercrawl.transport.client import HttpTransport

_LIBRARIES: Final = ("datasets", "huggingface_hub", "pyarrow", "torch")
# Bytes of free disk space below which one large checkpoint and its tables may not fit.
_LITTLE_SPACE: Final = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check.

    Attributes:
        name: What was checked.
        found: What was found.
        problem: What is wrong and what to do, None where nothing is.
    """

    name: str
    found: str
    problem: str | None = None


def run_checks(plugins: Plugins, settings: Settings, *, network: bool = False) -> Iterator[Check]:
    """Make the checks one by one.

    Args:
        plugins: The plugins to check.
        settings: The settings that hold.
        network: Whether to check servers too; without it no request is sent.
    """
    yield Check(
        name="version",
        found=f"filtercrawl {version('filtercrawl')}, plugin interface {API_VERSION}, "
        f"Python {platform.python_version()}",
    )
    yield _libraries()
    yield from map(_extra, ("analysis", "zoos"))
    yield Check(name="plugins", found=f"{len(plugins.names)} installed, {len(plugins.sources)} sources")
    for broken in plugins.broken:
        advice = f"{broken.reason}; fix it, or leave it out with --no-plugin {broken.plugin}"
        yield Check(name="plugin", found=broken.plugin, problem=advice)
    yield _device(settings.device)
    cache = settings.network.cache
    for name, folder in (("dataset", settings.dataset), ("cache", cache)):
        if folder is not None:
            yield _check_folder(name, folder)
    for origin, variable in sorted(settings.auth.items()):
        problem = (
            None if is_set(variable) else f"the environment variable {variable} is named as a token, but it is not set"
        )
        yield Check(name="token", found=f"{origin}: ${variable}", problem=problem)
    if network:
        for address in sorted({hub_endpoint(), *settings.auth, *(_origin(url) for url in settings.mirrors.values())}):
            yield _server(address, settings)


def _libraries() -> Check:
    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    problem = f"not installed: {', '.join(missing)}; install filtercrawl again" if missing else None
    return Check(name="libraries", found=", ".join(found), problem=problem)


def _extra(name: str) -> Check:
    found = ", ".join(f"{package} {_version(package)}" for package in EXTRAS[name] if find_spec(package))
    return Check(name="extra", found=f"{name}: {missing_extra(name) or found}")


def _version(package: str) -> str:
    """Return the version of a package that can be imported, whether or not it was installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _device(name: str) -> Check:
    try:
        return Check(name="device", found=f"{name}: {device.select_device(name)}")
    except UsageError as error:
        return Check(name="device", found=name, problem=str(error))


def _check_folder(name: str, folder: Path) -> Check:
    """Check the disk on which a folder is, or would be; nothing is created."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check(name=name, found=str(folder), problem=f"its disk cannot be checked: {error.strerror or error}")
    problem: str | None = None
    if not existing.is_dir():
        problem = f"{existing} is not a folder; choose another with --{name}"
    elif free < _LITTLE_SPACE:
        problem = f"there is little space on this disk; choose another folder with --{name}"
    return Check(name=name, found=f"{folder}, {free / 1e9:.1f} GB free", problem=problem)


def _server(address: str, settings: Settings) -> Check:
    try:
        with closing(HttpTransport(settings.network)) as transport:
            answer = transport.client.get(f"{address}/", follow_redirects=False)
    except (FiltercrawlError, OSError) as error:
        return Check(name="network", found=address, problem=f"{error}; check proxy, firewall and HF_ENDPOINT")
    except Exception as error:  # noqa: BLE001 - an HTTP library has many errors, and all are handled alike here
        text = " ".join(str(error).split()) or type(error).__name__
        return Check(name="network", found=address, problem=f"{text}; check proxy, firewall and HF_ENDPOINT")
    return Check(name="network", found=f"{address} answers {answer.status_code}")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
