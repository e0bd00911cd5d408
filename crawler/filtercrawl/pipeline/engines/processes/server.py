"""The fork server: a process that imports the libraries once, and forks workers that share them.

It is started by `server_handle.ForkServer`, does nothing beside forking, and so has one thread: a fork of it is safe.
When its connection to the process of the run ends, whatever ended that, it kills the workers and ends.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import NoReturn

import pyarrow as pa

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.pipeline.engines.processes.limits import NO_PROCESS
from filtercrawl.pipeline.engines.processes.messages import Exited, Fork, Kill, Ready, ServerSettings
from filtercrawl.pipeline.engines.processes.worker import end_with_parent, work


class _Server:
    """Forks workers.

    Args:
        control: Connection to the process of the run.
    """

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._settings: ServerSettings = control.recv()
        entries = self._settings.worker.entries
        self._plugins = Plugins(EntryPoint(name=name, value=value, group=group) for name, value, group in entries)
        self._workers: dict[int, int] = {}  # process id to number
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        self._waker = waker
        self._ready = selectors.DefaultSelector()

    def serve(self) -> None:
        """Import, then fork and reap until the process of the run is gone."""
        self._import()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)
        self._tell(Ready())
        self._ready.register(self._control, selectors.EVENT_READ)
        self._ready.register(self._woken, selectors.EVENT_READ)
        while True:
            for key, _ in self._ready.select():
                if key.fileobj == self._woken:
                    os.read(self._woken, 4096)
                    self._reap()
                elif (message := self._next()) is None:
                    return
                elif isinstance(message, Fork):
                    self._fork(message)
                else:
                    self._kill(message.worker)

    def close(self) -> None:
        """Kill the workers, and wait until they are gone."""
        for process in self._workers:
            os.kill(process, signal.SIGKILL)
        for process in self._workers:
            os.waitpid(process, 0)

    def _import(self) -> None:
        """Import what workers need; a plugin that cannot be imported is left out here as in the process of the run."""
        _ = self._plugins.readers, self._plugins.measures
        for name in self._settings.libraries:
            with suppress(Exception):  # broken here as in the process of the run
                import_module(name)
        pa.array([0])  # pyarrow imports pandas when it first converts anything
        gc.collect()
        gc.freeze()  # what the garbage collector does not visit stays shared between the processes

    def _next(self) -> Fork | Kill | None:
        try:
            message: Fork | Kill = self._control.recv()
        except (EOFError, ConnectionError):
            return None
        return message

    def _fork(self, message: Fork) -> None:
        descriptor, server = recv_handle(self._control), os.getpid()
        try:
            process = os.fork()
        except OSError:  # too many processes, or no memory: the worker is one that ended at once
            os.close(descriptor)
            self._tell(Exited(worker=message.worker, code=NO_PROCESS))
            return
        if process == 0:
            self._become_worker(Connection(descriptor), server)
        os.close(descriptor)
        self._workers[process] = message.worker

    def _become_worker(self, connection: Connection, server: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._ready.close()
        self._control.close()
        os.close(self._woken)
        os.close(self._waker)
        end_with_parent(server)
        work(connection, self._settings.worker, self._plugins)

    def _reap(self) -> None:
        while self._workers:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process == 0:
                return
            number = self._workers.pop(process, None)
            if number is not None:  # else a process that a plugin started when it was imported
                self._tell(Exited(worker=number, code=os.waitstatus_to_exitcode(status)))

    def _tell(self, message: Exited | Ready) -> None:
        with suppress(OSError):  # the process of the run is gone
            self._control.send(message)

    def _kill(self, worker: int) -> None:
        for process, number in self._workers.items():
            if number == worker:
                os.kill(process, signal.SIGKILL)


def main() -> None:
    """Serve the process of the run, which is at the other end of the socket that is this process's stdin.

    Ctrl+C and the end of a terminal are the affair of the process of the run.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = Connection(os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout.flush()
    os.dup2(2, 1)  # stdout holds the result of the command alone
    server = _Server(control)
    try:
        server.serve()
    finally:
        server.close()
