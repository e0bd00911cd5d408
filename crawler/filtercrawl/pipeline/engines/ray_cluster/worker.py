"""What runs in a process of the cluster: it builds its crawler once, then crawls one checkpoint a call."""

from __future__ import annotations

import queue
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import ray

from filtercrawl.api.errors import EngineError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config.environment import is_set
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.engines.ray_cluster.messages import MARKER, FileChunk, Message, RayWorkerSettings
from filtercrawl.pipeline.engines.ray_cluster.questions import DriverClaims
from filtercrawl.pipeline.engines.ray_cluster.uploader import Uploader
from filtercrawl.pipeline.engines.workers.messages import Finished, Order, Started
from filtercrawl.pipeline.engines.workers.task_crawler import UPDATE_SECONDS, TaskCrawler
from filtercrawl.pipeline.process_settings import limit_torch_threads
from filtercrawl.pipeline.records import CrawlResult

_CHUNK_BYTES: Final = 8 * 1024 * 1024
# How long the work may take to end once it is cancelled; the driver ends the process after that.
_END_SECONDS: Final = 5.0
# The worker of this process, by run: Ray keeps processes between tasks.
_workers: Final[dict[str, Worker]] = {}


def crawl_checkpoint(settings: RayWorkerSettings, order: Order, coordinator: Any) -> Iterator[Message]:
    """Crawl one checkpoint; the Ray task.

    Args:
        settings: The same for all tasks of a run.
        order: What to crawl.
        coordinator: Handle of the actor with the driver's answers.

    Yields:
        `Started`, whatever there is to tell meanwhile, and `Finished`.

    Raises:
        EngineError: This machine would give other results than that of the run.
    """
    worker = _workers.get(settings.run_id)
    if worker is None:
        _workers.clear()
        worker = _workers[settings.run_id] = Worker(settings, coordinator)
    yield Started(node=ray.get_runtime_context().get_node_id())
    yield from worker.run(order)


class Worker:
    """Crawls checkpoints of one run, one at a time.

    Args:
        settings: Settings of the run.
        coordinator: Handle of the actor with the driver's answers.
    """

    def __init__(self, settings: RayWorkerSettings, coordinator: Any) -> None:
        sys.path.extend(path for path in settings.python_path if path not in sys.path)
        plugins = Plugins(EntryPoint(name=name, value=value, group=group) for name, value, group in settings.entries)
        refuse_difference(settings, plugins)
        self._settings = settings
        self._coordinator = coordinator
        self._crawler = TaskCrawler(settings, plugins, self._admit)
        self._uploader = None if settings.dataset_url is None else Uploader(settings.dataset_url)
        self._temporary = tempfile.TemporaryDirectory(prefix="filtercrawl-")  # noqa: TID251 - until its process ends

    def run(self, order: Order) -> Iterator[Message]:
        """Crawl one checkpoint in a thread, and yield what it has to tell."""
        outbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        staging = self._staging(order)
        thread = threading.Thread(target=self._crawl, args=(order, staging, outbox), name="crawl", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    message = outbox.get(timeout=UPDATE_SECONDS)
                except queue.Empty:
                    if self._crawler.goes_on():
                        yield self._crawler.update()
                    continue
                if isinstance(message, Finished):
                    yield from self._chunks(message.result)
                    yield replace(message, update=self._crawler.update())
                    return
                yield message
        except BaseException:  # the driver has cancelled the task
            _workers.clear()
            self._crawler.cancellation.cancel()
            thread.join(_END_SECONDS)
            raise

    def _crawl(self, order: Order, staging: Path, outbox: queue.SimpleQueue[Message]) -> None:
        limit_torch_threads()
        claims = DriverClaims(order.attempt, outbox, self._coordinator)
        finished = self._crawler.crawl(order.task, staging, claims, WeightedSemaphore(1))
        if self._uploader is not None and finished.result is not None:
            finished = replace(finished, result=self._uploader.uploaded(finished.result, order.attempt))
        outbox.put(finished)

    def _staging(self, order: Order) -> Path:
        """Return the folder of staged files: in the dataset folder if this machine sees that and keeps files there."""
        is_shared = self._uploader is None and self._sees_dataset()
        return (self._settings.staging if is_shared else Path(self._temporary.name)) / order.attempt

    def _sees_dataset(self) -> bool:
        try:
            return (self._settings.staging / MARKER).read_text("utf-8") == self._settings.marker
        except OSError:
            return False

    def _chunks(self, result: CrawlResult | None) -> Iterator[FileChunk]:
        """Yield the bytes of a staged file that only this machine sees, and delete it."""
        staged = None if result is None or result.layers is None else result.layers.staged
        if staged is None or not staged.is_relative_to(self._temporary.name):
            return
        with staged.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                yield FileChunk(data=data)
        staged.unlink()

    def _admit(self, n_bytes: int) -> bool:
        admitted: bool = ray.get(self._coordinator.admit.remote(n_bytes))
        return admitted


def refuse_difference(settings: RayWorkerSettings, plugins: Plugins) -> None:
    """Refuse to work where the results would differ from those of the machine of the run.

    Raises:
        EngineError: A distribution has another version, a plugin is missing or broken, or a token is not set.
    """
    for name, wanted in settings.versions.items():
        if (found := public_version(name)) != wanted:
            raise EngineError(
                f"a worker on {node_name()} has {name} {found} and this machine has {wanted}: the same version has to "
                "be installed on all machines of the cluster"
            )
    for kind, offered in settings.offers.items():
        if missing := set(offered) - set(names_of(plugins, kind)):
            broken = "".join(f"; {failure.plugin}: {failure.reason}" for failure in plugins.broken)
            raise EngineError(
                f"a worker on {node_name()} lacks the {kind} {', '.join(sorted(missing))}, which a plugin offers on "
                f"this machine: install it on all machines of the cluster{broken}"
            )
    for variable in settings.tokens:
        if not is_set(variable):
            raise EngineError(
                f"the environment variable {variable} with a token is not set for workers on {node_name()}: set it "
                "before `ray start`"
            )


def public_version(distribution: str) -> str:
    """Return the version of a distribution without its local part: torch 2.9.0+cpu and 2.9.0+cu128 are one.

    Returns:
        The version; `none` where it is not installed.
    """
    try:
        return version(distribution).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def names_of(plugins: Plugins, kind: str) -> tuple[str, ...]:
    """Return the names of what plugins offer of a kind: `sources`, `readers` or `measures`."""
    offered = plugins.sources.values() if kind == "sources" else getattr(plugins, kind)
    return tuple(item.name for item in offered)


def node_name() -> str:
    """Return the address of this machine, as Ray knows it."""
    return str(ray.util.get_node_ip_address())
