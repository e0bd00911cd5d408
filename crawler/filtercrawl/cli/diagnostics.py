"""What a run needs of this machine, looked at part by part."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from filtercrawl.api.errors import FiltercrawlError, UsageError
from filtercrawl.api.hookspecs import API_VERSION
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings, device, hub_endpoint, is_set
from filtercrawl.transport.client import HttpTransport

_LIBRARIES: Final = ("datasets", "huggingface_hub", "pyarrow", "timm", "torch", "torchvision")
# Less than this is soon used up: a large checkpoint, and the tables beside it.
_LITTLE: Final = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at. problem: what is wrong and what to do, None where nothing is."""

    name: str
    found: str
    problem: str | None = None


def run_checks(plugins: Plugins, settings: Settings, *, network: bool = False) -> Iterator[Check]:
    """Yield what was found. network: ask the servers too; without it nothing is sent."""
    yield Check(
        name="version",
        found=f"filtercrawl {version('filtercrawl')}, plugin interface {API_VERSION}, "
        f"Python {platform.python_version()}",
    )
    yield from _libraries()
    yield Check(name="plugins", found=f"{len(plugins.names)} installed, {len(plugins.sources)} sources")
    for broken in plugins.broken:
        advice = f"{broken.reason}; repair it or leave it out: --no-plugin {broken.plugin}"
        yield Check(name="plugin", found=broken.plugin, problem=advice)
    yield _device(settings.device)
    cache = settings.network.cache
    for name, place in (("dataset", settings.dataset), ("cache", cache)):
        if place is not None:
            yield _check_folder(name, place)
    for origin, variable in sorted(settings.auth.items()):
        problem = None if is_set(variable) else f"the environment variable {variable} is named, but it is not set"
        yield Check(name="token", found=f"{origin}: ${variable}", problem=problem)
    if network:
        for address in sorted({hub_endpoint(), *settings.auth, *(_origin(url) for url in settings.mirrors.values())}):
            yield _server(address, settings)


def _libraries() -> Iterator[Check]:
    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    problem = f"not installed: {', '.join(missing)}; install filtercrawl again" if missing else None
    yield Check(name="libraries", found=", ".join(found), problem=problem)


def _device(name: str) -> Check:
    try:
        return Check(name="device", found=f"{name}: {device.select_device(name)}")
    except UsageError as error:
        return Check(name="device", found=name, problem=str(error))


def _check_folder(name: str, place: Path) -> Check:
    """Look at the disk that a folder lies on, or will lie on; nothing is made."""
    there = next(parent for parent in (place.absolute(), *place.absolute().parents) if parent.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name=name, found=str(place), problem=f"cannot be looked at: {error.strerror or error}")
    problem: str | None = None
    if not there.is_dir():
        problem = f"{there} is no folder; choose another with --{name}"
    elif free < _LITTLE:
        problem = f"there is little room on this disk; choose another with --{name}"
    return Check(name=name, found=f"{place}, {free / 1e9:.1f} GB free", problem=problem)


def _server(address: str, settings: Settings) -> Check:
    try:
        with closing(HttpTransport(settings.network)) as transport:
            answer = transport.client.get(f"{address}/", follow_redirects=False)
    except (FiltercrawlError, OSError) as error:
        return Check(name="network", found=address, problem=f"{error}; look at proxy, firewall and HF_ENDPOINT")
    except Exception as error:  # noqa: BLE001 - an HTTP library has many errors, and all mean the same here
        text = " ".join(str(error).split()) or type(error).__name__
        return Check(name="network", found=address, problem=f"{text}; look at proxy, firewall and HF_ENDPOINT")
    return Check(name="network", found=f"{address} answers {answer.status_code}")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
