"""Settings: a command's option, then `FILTERCRAWL_*`, then `filtercrawl.toml`; the only reader of the environment."""

from filtercrawl.settings.environment import (
    cache_home,
    environment,
    hub_endpoint,
    is_set,
    now,
    proxy,
    secret,
    step_summary,
)
from filtercrawl.settings.file import FILE
from filtercrawl.settings.merge import origins, resolve
from filtercrawl.settings.records import FailOn, NetworkSettings, PublishSettings, Retry, Settings

__all__ = [
    "FILE", "FailOn", "NetworkSettings", "PublishSettings", "Retry", "Settings", "cache_home", "environment",
    "hub_endpoint", "is_set", "now", "origins", "proxy", "resolve", "secret", "step_summary",
]  # fmt: skip
