"""Open the worker processes of a run from its settings: an engine, and readers for what is asked before."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.plugin_modules import group_of
from filtercrawl.config import Settings
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.engine import n_crawled
from filtercrawl.pipeline.engines.processes.call import call_in_worker
from filtercrawl.pipeline.engines.processes.limits import AttemptLimits, attempt_limits
from filtercrawl.pipeline.engines.processes.messages import Call, ServerSettings
from filtercrawl.pipeline.engines.processes.readers import QUESTION_FILES, QUESTION_SECONDS, ReadersInWorker
from filtercrawl.pipeline.engines.processes.server_handle import ForkServer
from filtercrawl.pipeline.engines.workers.common_settings import left_of, worker_settings
from filtercrawl.transport import MeasuredTransport

if TYPE_CHECKING:
    from filtercrawl.pipeline.engines.workers.engine import WorkerEngine

Argument = TypeVar("Argument")
Result = TypeVar("Result")
_KINDS: Final = ("sources", "readers", "measures")


@dataclass(frozen=True, kw_only=True)
class WorkerProcesses:
    """The worker processes of a run; none is started before there is something to read.

    Attributes:
        settings: Settings of the run.
        server: Forks them.
        limits: What one attempt may use.
        staging: Folder of the run for staged files.
        cancellation: Ends the run.
    """

    settings: Settings
    server: ForkServer
    limits: AttemptLimits
    staging: Path
    cancellation: CancellationToken

    def engine(self, index: ContentIndex, transport: MeasuredTransport) -> WorkerEngine:
        """Return an engine.

        Args:
            index: Contents that are known or being read.
            transport: Network access of this process, whose requests count against the budgets.
        """
        from filtercrawl.pipeline.engines.processes.driver import ProcessDriver, ProcessRun  # only to crawl
        from filtercrawl.pipeline.engines.workers.budget import Budget
        from filtercrawl.pipeline.engines.workers.engine import WorkerEngine

        settings = self.settings
        run = ProcessRun(
            staging=self.staging,
            jobs=settings.jobs,
            limits=self.limits,
            budget=Budget(
                left_of(settings.max_requests, transport.requests), left_of(settings.max_bytes, transport.bytes_fetched)
            ),
        )
        return WorkerEngine(lambda: ProcessDriver(run, self.server, index), index, self.cancellation)

    def call(
        self, function: Callable[[Plugins, Argument], Result], argument: Argument, *, name: str, local: bool
    ) -> Result:
        """Call a function of a module in a worker process.

        Args:
            function: Called with the plugins of the worker and the argument.
            argument: What the function is told.
            name: What it reads, for errors.
            local: Whether it reads only files of this machine, so that nothing has to be fetched.

        Raises:
            FiltercrawlError: What the function raised.
            CheckpointError: The worker crashed, or took more than its limits.
        """
        order = Call(function=function, argument=argument, limits=self.limits.after(0), local=local)
        result: Result = call_in_worker(self.server, order, name)
        return result

    def readers(self) -> ReadersInWorker:
        """Return readers for what is asked about files before they are crawled."""
        first = self.limits.after(0)
        limits = replace(
            first,
            cpu_seconds=min(first.cpu_seconds, QUESTION_FILES * first.reading_seconds),
            stall_seconds=min(first.stall_seconds, QUESTION_SECONDS),
        )
        return ReadersInWorker(self.server, limits, self.cancellation)


@contextmanager
def worker_processes(
    settings: Settings, plugins: Plugins, cancellation: CancellationToken
) -> Iterator[WorkerProcesses | None]:
    """Open the worker processes of a run, and end them with it.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses, and its workers too.
        cancellation: Ends the run.

    Yields:
        They; None where another engine is asked for, or other processes could not do what this one can.
    """
    if settings.engine != "local" or not works_here(plugins):
        yield None
        return
    worker = worker_settings(settings, plugins, f".workers-{secrets.token_hex(8)}", n_crawled(settings.jobs))
    server = ForkServer(ServerSettings(worker=worker))
    try:
        yield WorkerProcesses(
            settings=settings,
            server=server,
            limits=attempt_limits(settings),
            staging=worker.staging,
            cancellation=cancellation,
        )
    finally:
        server.close()
        shutil.rmtree(worker.staging, ignore_errors=True)


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
