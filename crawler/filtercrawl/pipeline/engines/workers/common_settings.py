"""The settings that workers of every engine get, from those of the run."""

from __future__ import annotations

import logging
from dataclasses import replace

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings, secret
from filtercrawl.config.environment import is_set
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.pipeline.engines.workers.messages import WorkerSettings


def worker_settings(settings: Settings, plugins: Plugins, folder: str, sharers: int = 1) -> WorkerSettings:
    """Return the settings of a worker.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses, and its workers too.
        folder: Name of the folder of staged files, unique to the run.
        sharers: Workers that use up the rate limits of hosts together.
    """
    network = settings.network
    for variable in tokens_of(settings):
        secret(variable)  # so that the log of this process hides it in the records of workers too
    return WorkerSettings(
        entries=tuple((entry.name, entry.value, entry.group) for entry in plugins.entries),
        network=replace(network, cache=settings.cache),
        device=settings.device,
        verify_all=settings.prove,
        sharers=sharers,
        reading_seconds=settings.reading_limit,
        has_budget=settings.max_requests is not None or settings.max_bytes is not None,
        log_level=logging.getLogger().getEffectiveLevel(),
        staging=(settings.dataset / TEMPORARY / folder).resolve(),
    )


def tokens_of(settings: Settings) -> tuple[str, ...]:
    """Return the environment variables that hold a token of the run, sorted."""
    return tuple(sorted({variable for variable in settings.network.auth.values() if is_set(variable)}))


def left_of(budget: int | None, used: int) -> int | None:
    """Return what workers may still use of a budget, None for no limit."""
    return None if budget is None else max(0, budget - used)
