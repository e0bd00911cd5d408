"""The settings of filtercrawl, each described once: in the annotation of its field."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from filtercrawl.api.errors import UsageError
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config.dataset_url import Dataset
from filtercrawl.config.environment import cache_home, hub_endpoint
from filtercrawl.config.fields import Count, Duration, File, Folder, Fraction, PositiveCount, Setting, Size, Table
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.config.tables import parse_auth, parse_mirrors, parse_sources
from filtercrawl.config.urls import origin
from filtercrawl.config.worker_limits import WorkerMemory, WorkerTime

Retry = Literal["all", "due", "none"]
FailOn = Literal["new", "any", "none"]
Restricted = Literal["keep", "remove"]
Engine = Literal["local", "threads", "ray"]


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The settings that the transport needs, as `Settings.network` derives them.

    Attributes:
        auth: Origin (`https://host`) to the name of the environment variable with its token.
        mirrors: URL prefix to the prefix that is asked instead, both ending in a slash.
        max_requests: How many requests one run may send, None for no limit.
        max_bytes: How many bytes one run may receive, None for no limit.
        cache: The folder for fetched bytes, None for one that is deleted with the run.
        cache_size: How many bytes the cache may hold, None for no limit.
        local_redirects: Whether redirects of public servers to local addresses are followed.
    """

    auth: Mapping[str, str] = field(default_factory=dict)
    mirrors: Mapping[str, str] = field(default_factory=dict)
    max_requests: int | None = None
    max_bytes: int | None = None
    cache: Path | None = None
    cache_size: int | None = None
    local_redirects: bool = False


@dataclass(frozen=True, kw_only=True)
class PublishSettings:
    """The table `[publish]`."""

    max_lost: Annotated[
        Fraction, Setting("Refuse a release that lacks more than this fraction of the last one's layers or models.")
    ] = 0.05
    notify_cmd: Annotated[
        str | None,
        Setting(
            "Run this command at the end of a release, without a shell, with run.json on stdin and FILTERCRAWL_OUTCOME "
            "set.",
            metavar="CMD",
            private=True,
        ),
    ] = None
    summary: Annotated[
        File | None,
        Setting("Write what the release did into this file, in Markdown.", default_text="$GITHUB_STEP_SUMMARY"),
    ] = None
    space: Annotated[
        str | None,
        Setting(
            "Show the version in this static Space on the Hub, created if it does not exist; auto: one with the name "
            "of the dataset.",
            metavar="auto|ORG/NAME",
        ),
    ] = None
    sign_key: Annotated[File | None, Setting("Sign the manifest with the Ed25519 private key in this file.")] = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that a run can be told: the tables of `filtercrawl.toml`, whose table `[sync]` is the first fields.

    Attributes:
        dataset_url: The URL of a dataset in an object store, of which `dataset` is the working folder; None where the
            dataset is a folder.
    """

    dataset: Annotated[Dataset, Setting("The dataset folder, or a URL such as s3://bucket/name.")] = Path(
        "filtercrawl-dataset"
    )
    limit: Annotated[Count | None, Setting("Read at most N checkpoints.")] = None
    kernel_size: Annotated[KernelPolicy, Setting("Which kernels to keep; spatial: those with more than one tap.")] = (
        "spatial"
    )
    license: Annotated[
        tuple[str, ...], Setting("Only checkpoints under this license; may be repeated.", metavar="SPDX")
    ] = ()
    device: Annotated[str, Setting("The device that normalizes kernels.", metavar="auto|cpu|cuda|mps")] = "auto"
    jobs: Annotated[PositiveCount, Setting("Work on this many checkpoints at a time.")] = 2
    engine: Annotated[
        Engine,
        Setting(
            "What reads the checkpoints: worker processes of this machine (local), threads of this process, or the "
            "machines of a Ray cluster."
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        Setting(
            "The Ray cluster to connect to, HOST:PORT or auto; without it one is started on this machine.",
            metavar="ADDRESS",
            default_text="$RAY_ADDRESS",
        ),
    ] = None
    stall_timeout: Annotated[
        Duration, Setting("Try a checkpoint once more whose reader makes no progress for this long.")
    ] = 900.0
    cpu_limit: Annotated[
        WorkerTime, Setting("Try a checkpoint once more whose reader takes this much CPU time, with twice as much.")
    ] = 3600.0
    reading_limit: Annotated[
        WorkerTime,
        Setting(
            "Fail checkpoints for which reading the structure (headers, names, graphs), or decoding the weights, takes "
            "this much CPU time, and 0.25s more for each megabyte."
        ),
    ] = 10.0
    memory_limit: Annotated[
        WorkerMemory | None,
        Setting(
            "Try a checkpoint once more whose reader takes this much memory, alone and with twice as much.",
            default_text="3/4 of the machine's, divided by --jobs",
        ),
    ] = None
    max_bytes: Annotated[Size | None, Setting("Stop after reading this many bytes of checkpoints, for example 2G.")] = (
        None
    )
    max_disk: Annotated[
        Size | None,
        Setting("Keep layers within this size: `sync` stops there, `release` publishes some of them early."),
    ] = None
    cache: Annotated[
        Folder | None, Setting("Keep fetched bytes in this folder.", default_text="~/.cache/filtercrawl")
    ] = None
    cache_size: Annotated[Size, Setting("Keep at most this many fetched bytes between runs.")] = 16 * 1024**3
    max_requests: Annotated[Count | None, Setting("Send at most N requests to the network.")] = None
    local_redirects: Annotated[
        bool,
        Setting(
            "Follow redirects of public servers to addresses of this machine, private networks and cloud metadata.",
            option=False,
        ),
    ] = False
    time_limit: Annotated[
        Duration | None,
        Setting(
            "Stop cleanly this long after the start, for example 5h; a listing or checkpoints in progress have a "
            "minute more."
        ),
    ] = None
    metrics: Annotated[
        File | None,
        Setting(
            "Write the counts of the run into this file, for the textfile collector of Prometheus; name it *.prom."
        ),
    ] = None
    prove: Annotated[bool, Setting("Fetch files in full where a sha256 is stated, and check them against it.")] = False
    refuse_code: Annotated[
        bool, Setting("Fail checkpoints whose files name code that loading them elsewhere would run.")
    ] = False
    prune: Annotated[bool, Setting("Remove checkpoints that the sources no longer offer.")] = False
    restricted: Annotated[
        Restricted,
        Setting("What to do with checkpoints whose repository became gated, private or disabled since they were read."),
    ] = "keep"
    retry: Annotated[
        Retry, Setting("Which failed checkpoints to try again; due: those whose waiting time is over.")
    ] = "due"
    dry_run: Annotated[bool, Setting("Show what there is to do, and do nothing.")] = False
    rebuild: Annotated[bool, Setting("Rebuild the catalog from the published tables first.")] = False
    fail_on: Annotated[
        FailOn, Setting("Which failed checkpoints cause exit code 3; new: those that the last run did not have.")
    ] = "new"
    opt_out: Annotated[
        tuple[str, ...],
        Setting("Checkpoints that are never fetched nor kept: SOURCE:PATTERN or URL patterns.", option=False),
    ] = ()
    opt_out_from: Annotated[
        tuple[str, ...], Setting("Files or URLs with more such patterns, one a line.", option=False)
    ] = ()
    publish: Annotated[PublishSettings, Table("publish", "How versions are published.")] = field(
        default_factory=PublishSettings
    )
    license_policy: Annotated[
        LicensePolicy,
        Table("license", "What is kept of checkpoints under which license.", environment=False),
    ] = field(default_factory=LicensePolicy)
    sources: Annotated[
        Mapping[str, Mapping[str, Any]],
        Table("sources", "Settings of single sources, in tables [sources.NAME].", parse=parse_sources),
    ] = field(default_factory=dict)
    auth: Annotated[
        Mapping[str, str],
        Table(
            "auth",
            'Tokens, in tables [auth."ORIGIN"] whose one key token_env names the environment variable with the token. '
            "It is sent to this origin only.",
            parse=parse_auth,
        ),
    ] = field(default_factory=dict)
    mirrors: Annotated[
        Mapping[str, str],
        Table("mirrors", "URL prefixes and the URL prefixes that are asked instead.", parse=parse_mirrors),
    ] = field(default_factory=dict)

    dataset_url: str | None = None

    @property
    def dataset_name(self) -> str:
        """What to call the dataset: its URL, or its folder."""
        return self.dataset_url or str(self.dataset)

    def require_folder(self) -> Path:
        """Return the dataset folder, for what works on folders only.

        Raises:
            UsageError: The dataset is in an object store.
        """
        if self.dataset_url is not None:
            raise UsageError(
                f"{self.dataset_url}: only `sync`, `analyze`, `publish`, `withdraw` and `status` read an object store; "
                "copy the dataset into a folder and name that"
            )
        return self.dataset

    @property
    def limits_not_kept(self) -> tuple[str, ...]:
        """Options of limits that are set, and that threads do not keep."""
        if self.engine != "threads":
            return ()
        limits = ("stall_timeout", "cpu_limit", "reading_limit", "memory_limit")
        return tuple(f"--{name.replace('_', '-')}" for name in limits if getattr(self, name) != getattr(Settings, name))

    @property
    def network(self) -> NetworkSettings:
        """The settings that the transport needs; HF_TOKEN is the Hub's token where `[auth]` names no other.

        Without the budgets, which are those of what a sync reads.
        """
        auth = dict(self.auth)
        if os.environ.get("HF_TOKEN"):
            auth.setdefault(origin(hub_endpoint()), "HF_TOKEN")
        return NetworkSettings(
            auth=auth,
            mirrors=self.mirrors,
            cache=self.cache or cache_home(),
            cache_size=self.cache_size,
            local_redirects=self.local_redirects,
        )
