"""Make the engine `local` of a run from its settings."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.plugin_modules import group_of
from filtercrawl.config import Settings
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.processes.driver import ProcessDriver, ProcessRun, n_workers
from filtercrawl.pipeline.engines.processes.limits import attempt_limits
from filtercrawl.pipeline.engines.processes.messages import ServerSettings
from filtercrawl.pipeline.engines.workers.budget import Budget
from filtercrawl.pipeline.engines.workers.common_settings import left_of, worker_settings
from filtercrawl.pipeline.engines.workers.engine import WorkerEngine
from filtercrawl.transport import MeasuredTransport

_KINDS: Final = ("sources", "readers", "measures")


def process_engine(
    settings: Settings,
    plugins: Plugins,
    index: ContentIndex,
    transport: MeasuredTransport,
    cancellation: CancellationToken,
) -> WorkerEngine:
    """Return an engine whose processes are not started yet.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses, and its workers too.
        index: Contents that are known or being read.
        transport: Network access of this process, whose requests count against the budgets.
        cancellation: Ends the run.
    """
    worker = worker_settings(settings, plugins, f".workers-{secrets.token_hex(8)}", n_workers(settings.jobs))
    run = ProcessRun(
        settings=ServerSettings(worker=worker, sources=()),
        jobs=settings.jobs,
        limits=attempt_limits(settings),
        budget=Budget(
            left_of(settings.max_requests, transport.requests), left_of(settings.max_bytes, transport.bytes_fetched)
        ),
    )
    return WorkerEngine(lambda: ProcessDriver(run, index), index, cancellation)


def works_here(plugins: Plugins) -> bool:
    """Tell whether another process can do what this one would.

    It has to be a fork of a server, and a plugin that exists only in this process cannot be imported there.
    """
    return hasattr(os, "fork") and are_importable(
        entry.module for entry in plugins.entries if entry.group in map(group_of, _KINDS)
    )


def are_importable(modules: Iterable[str]) -> bool:
    """Tell whether each module that is in this process could be imported in another one."""
    for module in modules:
        try:
            find_spec(module)
        except ImportError:  # broken here as there
            continue
        except ValueError:  # in this process there is a module without a file
            return False
    return True
