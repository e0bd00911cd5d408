"""Settings: options of a command, then `FILTERCRAWL_*`, then `filtercrawl.toml`. Nothing else reads the environment."""

from filtercrawl.config.environment import (
    cache_home,
    environment,
    hide_tokens,
    hub_endpoint,
    is_set,
    now,
    proxy,
    remember_token,
    secret,
    step_summary,
    token_values,
)
from filtercrawl.config.resolve import FILE, resolve
from filtercrawl.config.settings import Engine, FailOn, NetworkSettings, PublishSettings, Restricted, Retry, Settings

__all__ = [
    "FILE",
    "Engine",
    "FailOn",
    "NetworkSettings",
    "PublishSettings",
    "Restricted",
    "Retry",
    "Settings",
    "cache_home",
    "environment",
    "hide_tokens",
    "hub_endpoint",
    "is_set",
    "now",
    "proxy",
    "remember_token",
    "resolve",
    "secret",
    "step_summary",
    "token_values",
]  # fmt: skip
