"""What a run was asked to do, as records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config.environment import cache_home, hub_endpoint
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.config.urls import origin

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
