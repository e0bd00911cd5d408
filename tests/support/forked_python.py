"""A Python for child processes of tests that starts in a tenth of a second: forked from one that has its imports done.

Most of the time of a child goes into importing torch, pandas and the like. `forked_python` starts a server that has
imported them, and writes a program that takes the place of `sys.executable`: it has the server fork, and hands its own
stdin, stdout, stderr, environment, working directory and arguments to the child. Libraries that read the environment
when they are imported (`huggingface_hub`, and what imports it: `datasets`, `timm`) are left to the child, and so is
filtercrawl. A test of what is imported needs the real interpreter.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

CLIENT = Path(__file__).with_name("forked_python_client.py")
_IMPORTS = (
    *("dill", "fsspec", "h5py", "httpx2", "jinja2", "matplotlib.figure", "multiprocess.pool", "pandas", "pyarrow.json"),
    *("pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "rich.console", "rich.table", "scipy.stats", "torch"),
    *("torchvision", "tqdm.auto", "typer", "yaml"),
)
# Folders that libraries take from the environment when they are imported: the module that has each, and its type.
_CACHES = {"HF_DATASETS_CACHE": ("datasets.config", Path), "HF_HUB_CACHE": ("huggingface_hub.constants", str)}
# Largest request in bytes: arguments and environment.
_REQUEST_BYTES = 1 << 20


@contextmanager
def forked_python(*imports: str) -> Iterator[str]:
    """Run the server; yields the path of the program that takes the place of `sys.executable`.

    Args:
        imports: Further modules that need no import in the children.
    """
    with TemporaryDirectory(prefix="python-") as folder:
        address, program = f"{folder}/socket", Path(folder, "python")
        words = [sys.executable, "-I", "-S", str(CLIENT), address, sys.executable, str(program)]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
        program.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with subprocess.Popen(
            # A thread of its own would not survive a fork.
            [sys.executable, __file__, address, *imports], env=environment | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as server:  # fmt: skip
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            try:
                yield str(program)
            finally:
                server.kill()


class _Server:
    """Forks a child for each connection, and ends the children whose connection closes."""

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address)
        self._listener.listen(16)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def next_child(self) -> dict[str, Any]:
        """Serve; returns in each child, with its request."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    request = self._fork()
                    if request is not None:
                        return request
                elif isinstance(key.fileobj, socket.socket):  # the client is gone
                    self._selector.unregister(key.fileobj)
                    with suppress(ProcessLookupError):
                        os.kill(key.data, signal.SIGKILL)
                else:
                    self._reap(key)

    def _fork(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        data, files, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
        if child := os.fork():
            for file in files:
                os.close(file)
            connection.send(str(child).encode())
            self._selector.register(connection, selectors.EVENT_READ, child)
            self._selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, connection))
            return None
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        connection.close()
        self._listener.close()
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._listener:
                os.close(key.fd)
        self._selector.close()
        request: dict[str, Any] = json.loads(data)
        return request

    def _reap(self, key: selectors.SelectorKey) -> None:
        child, connection = key.data
        self._selector.unregister(key.fileobj)
        os.close(key.fd)
        _, status = os.waitpid(child, 0)
        with suppress(KeyError):
            self._selector.unregister(connection)
            connection.send(str(status).encode())
        connection.close()


def _run(request: dict[str, Any]) -> None:
    """Do what `python ARGUMENTS` does in this environment and folder."""
    kind, what, *arguments = request["arguments"]
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for name, (module, kind_of_path) in _CACHES.items():
        if name in os.environ and module in sys.modules:
            setattr(sys.modules[module], name, kind_of_path(os.environ[name]))
    sys.executable = request["program"]
    warnings._processoptions(request["filters"])  # type: ignore[attr-defined]
    own = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[0:1] = ["" if kind == "-c" else str(Path.cwd()), *own]  # in place of the folder of this file
    sys.argv = [kind, *arguments]
    if kind == "-m":
        sys.modules.pop(what, None)  # of the server, which may have imported it for what it imports
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(main))


def _finish(request: dict[str, Any]) -> NoReturn:
    """Run, and end as Python does, but without taking the imported libraries apart, which takes seconds."""
    code: object = 0
    try:
        _run(request)
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001 - Python shows whatever it is
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)  # noqa: T201 - what Python does with `sys.exit("text")`
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError):  # it is closed
            stream.flush()
    os._exit(code or 0)


def main(address: str, *imports: str) -> NoReturn:
    for name in (*_IMPORTS, *imports):
        import_module(name)
    gc.freeze()  # what the garbage collector does not visit stays shared between the processes
    server = _Server(address)
    os.write(1, b"ready\n")
    _finish(server.next_child())


if __name__ == "__main__":
    main(*sys.argv[1:])
