"""Settings: a command's option, then `FILTERCRAWL_*`, then `filtercrawl.toml`; the only reader of the environment."""

from filtercrawl.config.environment import (
    cache_home,
    environment,
    hub_endpoint,
    is_set,
    now,
    proxy,
    secret,
    step_summary,
)
from filtercrawl.config.resolve import resolve, setting_sources
from filtercrawl.config.settings import FailOn, NetworkSettings, PublishSettings, Retry, Settings
from filtercrawl.config.toml_file import FILE

__all__ = [
    "FILE",
    "FailOn",
    "NetworkSettings",
    "PublishSettings",
    "Retry",
    "Settings",
    "cache_home",
    "environment",
    "hub_endpoint",
    "is_set",
    "now",
    "proxy",
    "resolve",
    "secret",
    "setting_sources",
    "step_summary",
]  # fmt: skip
