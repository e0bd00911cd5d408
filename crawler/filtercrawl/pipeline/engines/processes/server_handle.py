"""The fork server and its workers, as the process of the run sees them."""

from __future__ import annotations

import itertools
import logging
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, Final

from filtercrawl.api.errors import EngineError, describe_error
from filtercrawl.config.environment import environment
from filtercrawl.pipeline.engines.processes.messages import Exited, Fork, Kill, Ready, ServerSettings

logger = logging.getLogger(__name__)

# Seconds that the exit code of a worker takes at most, once its connection has ended.
_EXIT_SECONDS: Final = 10.0
# Seconds that the server has to end once it is told to; it may hang in the import of a plugin.
_END_SECONDS: Final = 5.0
# Libraries that build networks: what the sources of the run have imported here, workers will need.
_BUILDING: Final = ("timm", "torchvision")
# Libraries whose threads would be started by an import: a fork has only one, and workers use one each anyway.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class UnreadableMessageError(Exception):
    """A worker sent what cannot be read: its process is in pieces, or a plugin sends what exists only there."""


@dataclass(kw_only=True, eq=False)
class WorkerProcess:
    """A worker.

    Attributes:
        number: Unique within the run.
        server: Number of its server, unique within the run.
        connection: What it says is received here.
        started: Whether it has said anything: its server may have to import first.
    """

    number: int
    server: int
    connection: Connection[Any, Any]
    started: bool = False

    def receive(self) -> Any:
        """Return the next message; wait for it.

        Raises:
            EOFError: It has ended.
            OSError: The same.
            UnreadableMessageError: Its message cannot be read.
        """
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise
        except Exception as error:
            raise UnreadableMessageError(f"its process sent what cannot be read ({describe_error(error)})") from error


class ForkServer:
    """A process that forks workers. It starts when the first one is asked for, and has its imports done seconds later.

    If it is killed, as by a system that is short of memory, its workers end with it, and the next one is forked by
    another server.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection[Any, Any] | None = None
        self._numbers = itertools.count()
        self._running: set[int] = set()  # numbers of workers whose exit code may be asked for
        self._exited: dict[int, int] = {}
        self._ready = False
        self._generation = 0  # of the server

    @property
    def control(self) -> Connection[Any, Any]:
        """What becomes ready when a worker has ended, or the server; starts one if there is none."""
        if self._control is None:
            self._control = self._start()
        return self._control

    def fork(self) -> WorkerProcess:
        """Have a worker forked; what is sent to it waits until it runs.

        Raises:
            EngineError: No server starts.
        """
        self.receive()  # what is left unread would stop the server some day
        number, generation = next(self._numbers), self._generation
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.control.send(Fork(worker=number))
                send_handle(self.control, theirs.fileno(), None)
            self._running.add(number)
        except OSError:  # it was killed just now: the worker is one that has ended
            self._lose_server()
        return WorkerProcess(number=number, server=generation, connection=Connection(ours.detach()))

    def is_of(self, worker: WorkerProcess) -> bool:
        """Tell whether the server that forked a worker still runs, as far as is known."""
        return worker.server == self._generation

    def kill(self, worker: WorkerProcess) -> None:
        """Kill a worker, whatever it does."""
        worker.connection.close()
        self._forget(worker.number)
        if self._control is not None and self.is_of(worker):
            with suppress(OSError):
                self._control.send(Kill(worker=worker.number))

    def receive(self) -> None:
        """Receive what the server has said.

        Raises:
            EngineError: The server ended before it was ready.
        """
        while self._control is not None:
            try:
                if not self._control.poll():
                    return
                message = self._control.recv()
            except (EOFError, OSError):
                self._lose_server()
                return
            if isinstance(message, Ready):
                self._ready = True
            elif isinstance(message, Exited) and message.worker in self._running:
                self._exited[message.worker] = message.code

    def exit_code(self, worker: WorkerProcess) -> int | None:
        """Return with what exit code, or negative signal, a worker ended whose connection has ended.

        Returns:
            The code; None if its server ended, too, or if the worker does not end and had to be killed.

        Raises:
            EngineError: The server ended before it was ready.
        """
        deadline = time.monotonic() + _EXIT_SECONDS
        self.receive()
        while worker.number not in self._exited and self._control is not None and self.is_of(worker):
            if not self._control.poll(max(0.0, deadline - time.monotonic())):
                break
            self.receive()
        code = self._exited.get(worker.number)
        self.kill(worker)
        return code

    def close(self) -> None:
        """Kill the workers and end the server."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = socket.socketpair()
        start = (
            f"import sys; sys.path[:] = {sys.path!r}; from filtercrawl.pipeline.engines.processes.server import main; "
            "main()"
        )
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - this Python
                [sys.executable, "-c", start],
                stdin=theirs.fileno(),
                env=environment(**dict.fromkeys(_ONE_THREAD, "1")),
                start_new_session=True,
            )
        control: Connection[Any, Any] = Connection(ours.detach())
        with suppress(OSError):  # it has ended: whoever receives from it hears of that
            control.send(replace(self._settings, libraries=tuple(name for name in _BUILDING if name in sys.modules)))
        return control

    def _forget(self, number: int) -> None:
        self._running.discard(number)
        self._exited.pop(number, None)

    def _lose_server(self) -> None:
        """Clear up after a server that ended, so that the next worker is forked by another one.

        Raises:
            EngineError: It ended before it was ready, as another one would.
        """
        process, was_ready = self._process, self._ready
        self.close()
        self._ready, self._generation = False, self._generation + 1
        self._running.clear()
        self._exited.clear()
        code = None if process is None else process.returncode
        if not was_ready:
            raise EngineError(
                f"the server of worker processes did not start (exit code {code}); --engine threads does without"
            )
        logger.warning("the server of worker processes ended (exit code %s); another one is started", code)
