"""What runs in a worker process: it reads one checkpoint after the other, within limits, and tells how it goes."""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Final, NoReturn, TypeVar

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import FiltercrawlError, describe_error
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config.environment import cache_home
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.pipeline.crawling.crawl import WriteSlots, failed_result, is_out_of_memory
from filtercrawl.pipeline.crawling.unexpected_error import unexpected_reason
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.engines.processes.call import portable_error
from filtercrawl.pipeline.engines.processes.guard import Guard
from filtercrawl.pipeline.engines.processes.limits import NO_MEMORY, data_bytes, limit_this_process
from filtercrawl.pipeline.engines.processes.messages import (
    Admit,
    Admitted,
    Ask,
    AskPlace,
    Call,
    Cancel,
    GiveBackPlace,
    LimitedOrder,
    Message,
    Place,
    Replied,
    Returned,
)
from filtercrawl.pipeline.engines.workers.messages import Answer, Question, Started, WorkerSettings
from filtercrawl.pipeline.engines.workers.task_crawler import UPDATE_SECONDS, ContentDeferred, TaskCrawler
from filtercrawl.pipeline.process_settings import limit_torch_threads

logger = logging.getLogger(__name__)

# How often a waiting thread looks at its cancellation token.
_POLL_SECONDS: Final = 0.2
AnyAnswer = TypeVar("AnyAnswer", Answer, Admitted, Place)
# prctl: the signal that this process gets when its parent ends.
_PR_SET_PDEATHSIG: Final = 1


def work(connection: Connection[Any, Any], settings: WorkerSettings, plugins: Plugins) -> NoReturn:
    """Read what the driver orders, until it is gone; never returns.

    Args:
        connection: To the driver.
        settings: Settings of the run.
        plugins: What the process of the run uses.
    """
    code = 1
    try:
        _Worker(connection, settings, plugins).run()
        code = 0
    except ConnectionError:  # the driver is gone
        pass
    except MemoryError:
        code = NO_MEMORY
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as a second server
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def end_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent ends, where it can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(1)


class _Worker:
    """Reads checkpoints in the main thread; another one receives, and tells that the work goes on."""

    def __init__(self, connection: Connection[Any, Any], settings: WorkerSettings, plugins: Plugins) -> None:
        self._connection = connection
        self._settings = settings
        self._plugins = plugins
        self._crawler = TaskCrawler(settings, plugins, self._admit)
        self._orders: queue.SimpleQueue[LimitedOrder | Ask | Call] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._admissions: queue.SimpleQueue[Admitted] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[Place] = queue.SimpleQueue()
        self._sending, self._admitting = threading.Lock(), threading.Lock()
        self._guard = Guard([settings.staging, settings.network.cache or cache_home(), tempfile.gettempdir()])

    def run(self) -> None:
        """Read checkpoint after checkpoint."""
        limit_torch_threads()
        self._imported = data_bytes() if self._crawler.on_cpu else None
        threading.Thread(target=self._receive, name="receive", daemon=True).start()
        self._guard.install()
        while True:
            order = self._orders.get()
            self._send(Started())
            if isinstance(order, LimitedOrder):
                self._crawl(order)
            elif isinstance(order, Ask):
                self._answer(order)
            else:
                self._call(order)

    def _crawl(self, order: LimitedOrder) -> None:
        limit_this_process(order.limits, self._imported)
        self._guard.network = not order.local
        finished = self._crawler.crawl(order.task, self._settings.staging / order.attempt, self, self._slots(order))
        message = replace(finished, update=self._crawler.update())
        try:
            self._send(message)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - a reader returned what cannot be sent; nothing of it was
            self._send(replace(message, result=failed_result(error, order.task, self._plugins.readers)))

    def _slots(self, order: LimitedOrder) -> WriteSlots:
        """Return what limits how many checkpoints are written at a time; local ones fetch nothing and have theirs."""
        return WeightedSemaphore(1) if order.local else self

    def _answer(self, order: Ask) -> None:
        self._guard.network = False
        answer = order.question(self._plugins.readers)
        for subject in order.subjects:
            limit_this_process(order.limits, self._imported)
            value, failed = None, False
            try:
                value = answer(subject)
            except BaseException as error:  # noqa: BLE001 - a plugin may raise SystemExit
                logger.debug("a question about a file has no answer: %s", describe_error(error))
                failed = True
            self._send(Replied(value=value, failed=failed, update=self._crawler.update()))

    def _call(self, order: Call) -> None:
        limit_this_process(order.limits, self._imported)
        self._guard.network = not order.local
        try:
            returned = Returned(value=order.function(self._plugins, order.argument))
        except FiltercrawlError as error:
            returned = Returned(error=portable_error(error))
        except BaseException as error:
            if isinstance(error, Exception) and is_out_of_memory(error):
                raise MemoryError from error
            returned = Returned(unexpected=unexpected_reason(error, self._plugins.readers))
        self._send(replace(returned, update=self._crawler.update()))

    def claim(self, key: ContentKey, model_id: str, cancellation: CancellationToken | None = None) -> str | None:
        """Ask the driver who holds a content; see `filtercrawl.pipeline.crawling.crawl.ContentClaims`.

        Raises:
            ContentDeferred: An earlier checkpoint is not finished with the content.
            Cancelled: The run ends while the caller waits.
        """
        number = next(_numbers)
        self._send(Question(number=number, key=key))
        while (answer := self._wait_for(self._answers, cancellation)).number != number:
            pass  # to a question that was given up
        if answer.defer:
            raise ContentDeferred(model_id)
        return answer.owner

    @contextmanager
    def acquire(self, n: int, cancellation: CancellationToken | None = None) -> Iterator[None]:  # noqa: ARG002
        """Hold one of the run's places to write while the block runs; wait until one is free.

        Raises:
            Cancelled: The run ends while the caller waits.
        """
        self._send(AskPlace())
        self._wait_for(self._places, cancellation)
        try:
            yield
        finally:
            self._send(GiveBackPlace())

    def _admit(self, n_bytes: int) -> bool:
        with self._admitting:
            self._send(Admit(n_bytes=n_bytes))
            return self._wait_for(self._admissions, self._crawler.cancellation).allowed

    def _wait_for(self, answers: queue.SimpleQueue[AnyAnswer], cancellation: CancellationToken | None) -> AnyAnswer:
        while True:
            try:
                return answers.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if cancellation is not None:
                    cancellation.raise_if_cancelled()

    def _send(self, message: Message) -> None:
        with self._sending:
            self._connection.send(message)

    def _receive(self) -> None:
        try:
            while True:
                if self._connection.poll(UPDATE_SECONDS):
                    self._take(self._connection.recv())
                elif self._crawler.goes_on():
                    self._send(self._crawler.update())
        except MemoryError:
            os._exit(NO_MEMORY)
        finally:  # the driver is gone
            os._exit(1)

    def _take(self, message: LimitedOrder | Ask | Call | Answer | Admitted | Place | Cancel) -> None:
        if isinstance(message, LimitedOrder | Ask | Call):
            self._orders.put(message)
        elif isinstance(message, Answer):
            self._answers.put(message)
        elif isinstance(message, Admitted):
            self._admissions.put(message)
        elif isinstance(message, Place):
            self._places.put(message)
        else:
            self._crawler.cancellation.cancel()


_numbers = itertools.count()
