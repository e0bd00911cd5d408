"""The fork server and its workers, as the process of the run sees them."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any, Final

from filtercrawl.api.errors import EngineError
from filtercrawl.config.environment import environment
from filtercrawl.pipeline.engines.processes.messages import Exited, Fork, Kill, Ready, ServerSettings

# Seconds that the exit code of a worker takes at most, once its connection has ended.
_EXIT_SECONDS: Final = 10.0
# Libraries whose threads would be started by an import: a fork has only one, and workers use one each anyway.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(kw_only=True, eq=False)
class WorkerProcess:
    """A worker.

    Attributes:
        number: Unique within its server.
        connection: What it says is received here.
        started: Whether it has said anything: its server may have to import first.
    """

    number: int
    connection: Connection[Any, Any]
    started: bool = False


class ForkServer:
    """A process that forks workers. It starts when the first one is asked for, and has its imports done seconds later.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._control: Connection[Any, Any] | None = None
        self._numbers = itertools.count()
        self._exited: dict[int, int] = {}
        self._ready = False

    @property
    def control(self) -> Connection[Any, Any]:
        """What becomes ready when a worker has ended, or the server."""
        if self._control is None:
            self._control = self._start()
        return self._control

    def fork(self) -> WorkerProcess:
        """Have a worker forked; what is sent to it waits until it runs.

        Raises:
            EngineError: The server has ended.
        """
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self.control.send(Fork(worker=number))
                send_handle(self.control, theirs.fileno(), None)
        except OSError as error:
            ours.close()
            raise self._lost() from error
        return WorkerProcess(number=number, connection=Connection(ours.detach()))

    def kill(self, worker: WorkerProcess) -> None:
        """Kill a worker, whatever it does."""
        worker.connection.close()
        with suppress(OSError):
            self.control.send(Kill(worker=worker.number))

    def receive(self) -> None:
        """Receive one message, if there is any.

        Raises:
            EngineError: The server has ended.
        """
        try:
            message = self.control.recv() if self.control.poll() else None
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(message, Exited):
            self._exited[message.worker] = message.code
        elif isinstance(message, Ready):
            self._ready = True

    def exit_code(self, worker: WorkerProcess) -> int | None:
        """Return with what exit code, or negative signal, a worker ended whose connection has ended.

        Returns:
            The code; None if it does not end.

        Raises:
            EngineError: The server has ended.
        """
        deadline = time.monotonic() + _EXIT_SECONDS
        while worker.number not in self._exited:
            if not self.control.poll(max(0.0, deadline - time.monotonic())):
                return None
            self.receive()
        return self._exited.pop(worker.number)

    def close(self) -> None:
        """Kill the workers and end the server."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()

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
        control.send(self._settings)
        return control

    def _lost(self) -> EngineError:
        what = "ended" if self._ready else "did not start"
        code = None if self._process is None else self._process.wait()
        return EngineError(f"the server of worker processes {what} (exit code {code}); --engine threads does without")
