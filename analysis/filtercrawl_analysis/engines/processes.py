"""The engine of several processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import EngineError
from filtercrawl_analysis.engines.engine import compute
from filtercrawl_analysis.engines.messages import Outcome, pack_call, unpack_outcome
from filtercrawl_analysis.engines.worker import read_message, write_message

T = TypeVar("T")
R = TypeVar("R")

# Processes take a second to start: they do once this process has computed for so long.
WORTH_SECONDS: Final = 4.0
# Items on their way for each process: the next one is there when one is done.
_AHEAD: Final = 2
_ATTEMPTS: Final = 3
_POLL_SECONDS: Final = 0.2


class ProcessEngine:
    """Computes items in processes of their own; implements `Engine`. To be closed.

    Not with `multiprocessing`, whose processes run the module `__main__` again: a script that calls `analyze` would
    need a guard. A process that is killed or crashes is replaced, and its item computed again; an item whose process
    ends three times ends the run.

    Args:
        jobs: Processes.
        cancellation: Ends the run.
        worth_seconds: Seconds of computing in this process after which the others are started; by default some.
    """

    def __init__(self, jobs: int, cancellation: CancellationToken, worth_seconds: float | None = None) -> None:
        self._cancellation = cancellation
        self._jobs = jobs
        self._here_seconds = WORTH_SECONDS if worth_seconds is None else worth_seconds
        self._of_thread = threading.local()
        self._starting = threading.Lock()
        self._started: list[subprocess.Popen[bytes]] = []
        self._closed = False
        self._threads: ThreadPoolExecutor | None = None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item."""
        waiting = iter(items)
        for item in waiting:
            if self._here_seconds <= 0:
                yield from self._elsewhere(function, chain((item,), waiting))
                return
            started = time.monotonic()
            yield compute(function, item)
            self._here_seconds -= time.monotonic() - started

    def close(self) -> None:
        """End all processes; what they compute is lost."""
        with self._starting:
            self._closed = True
        for process in self._started:
            process.kill()
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._started:
            _wait(process)

    def _elsewhere(self, function: Callable[[T], R], items: Iterator[T]) -> Iterator[R]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._jobs, "analyze")
        started: deque[tuple[T, Future[Outcome]]] = deque()
        try:
            for item in items:
                started.append((item, self._threads.submit(self._attempt, pack_call(function, item))))
                if len(started) >= _AHEAD * self._jobs:
                    yield self._value(function, *started.popleft())
            while started:
                yield self._value(function, *started.popleft())
        finally:
            for _, future in started:
                future.cancel()

    def _value(self, function: Callable[[T], R], item: T, future: Future[Outcome]) -> R:
        while True:
            self._cancellation.raise_if_cancelled()
            try:
                outcome = future.result(_POLL_SECONDS)
                break
            except NotDone:
                continue
        if outcome.unknown:
            return compute(function, item)
        if outcome.error is not None:
            raise outcome.error
        return cast("R", outcome.value)

    def _attempt(self, call: bytes | None) -> Outcome:
        """Have a call computed by the process of this thread."""
        if call is None:
            return Outcome(unknown=True)
        for _ in range(_ATTEMPTS):
            process = self._process()
            if process is None:
                break
            answer = _ask(process, call)
            if answer is not None:
                return unpack_outcome(answer)
            self._of_thread.process = None
            _wait(process)
        return Outcome(error=EngineError(f"a process that computed was killed or crashed, {_ATTEMPTS} times in a row"))

    def _process(self) -> subprocess.Popen[bytes] | None:
        """Return the process of this thread, started if it has none; None once the engine is closed."""
        with self._starting:
            if self._closed:
                return None
            process: subprocess.Popen[bytes] | None = getattr(self._of_thread, "process", None)
            if process is None:
                process = self._of_thread.process = _start()
                self._started.append(process)
            return process


def _start() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if Path(path).is_absolute())
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "filtercrawl_analysis.engines.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def _ask(process: subprocess.Popen[bytes], call: bytes) -> bytes | None:
    """Return the answer; None where the process has ended."""
    try:
        write_message(cast("BinaryIO", process.stdin), call)
    except OSError:
        return None
    return read_message(cast("BinaryIO", process.stdout))


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a process that has ended or was killed, and wait for it."""
    with suppress(BrokenPipeError), process:  # a call that it never read is still in the buffer
        process.kill()
