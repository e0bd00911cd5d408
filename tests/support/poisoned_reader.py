"""A plugin whose reader harms its process, or more than that, the first times that it reads a file."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np

from filtercrawl.api import Files, RandomAccessFile, StoredTensor, TensorLocation, hookimpl

MAGIC: Final = b"FCPOISON"
AT_SIGHT: Final = b"FCGLANCE"
AT_NUMBERS: Final = b"FCNUMBER"
HEADER_BYTES: Final = 1024
SHAPE: Final = (8, 4, 3, 3)

Harm = Literal[
    "kill", "exit", "abort", "hang", "compute", "loop_in_c", "memory", "allocate", "start_process", "write", "connect",
    "system_exit", "full_disk", "kill_server",
]  # fmt: skip


def write_poisoned(path: Path, harm: Harm, *, times: int, magic: bytes = MAGIC) -> Path:
    """Write a file with one layer whose reader does harm the first times; returns the log of its attempts.

    Args:
        path: The file.
        harm: What the reader does.
        times: How often.
        magic: When it does so: `MAGIC` for when it reads the structure, `AT_SIGHT` for when it is asked if it can read
            the file, `AT_NUMBERS` for when the numbers of the layer are read.
    """
    log = path.parent.with_name(f"{path.name}.attempts")
    header = magic + json.dumps({"harm": harm, "times": times, "log": str(log)}).encode()
    weight = np.random.default_rng(len(path.name)).standard_normal(SHAPE, dtype=np.float32)
    path.write_bytes(header.ljust(HEADER_BYTES) + weight.tobytes())
    return log


class PoisonedReader:
    name = "poisoned"

    def can_read(self, file: RandomAccessFile) -> bool:
        magic = file.read(0, len(MAGIC)) if file.size > HEADER_BYTES else b""
        if magic == AT_SIGHT:
            harm_as_stated(file)
        return magic in (MAGIC, AT_SIGHT, AT_NUMBERS)

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        file, magic = files.main, files.main.read(0, len(MAGIC))
        if magic == MAGIC:
            harm_as_stated(file)
        numbers = PoisonedNumbers(file) if magic == AT_NUMBERS else file
        location = TensorLocation(file=numbers, offset=HEADER_BYTES, dtype="float32", shape=SHAPE)
        yield StoredTensor(name="conv.weight", key="conv.weight", shape=SHAPE, dtype="float32", location=location)


class PoisonedNumbers:
    """A file that does harm when it is read."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.name, self.size = file.name, file.size
        self._file = file

    def read(self, offset: int, length: int) -> bytes:
        harm_as_stated(self._file)
        return self._file.read(offset, length)


def harm_as_stated(file: RandomAccessFile) -> None:
    """Do what the header of a file states, as often as it states."""
    stated = json.loads(file.read(len(MAGIC), HEADER_BYTES - len(MAGIC)))
    with Path(stated["log"]).open("a") as log:
        log.write(f"{os.getpid()}\n")
    if len(Path(stated["log"]).read_text().splitlines()) <= stated["times"]:
        do_harm(stated["harm"])


def kill_parent() -> None:
    """Kill the parent of this process, as C code that a file has taken over could, in spite of audit hooks."""
    ctypes.CDLL(None).kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def do_harm(harm: Harm) -> None:  # noqa: C901 - a list
    match harm:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill_server":
            kill_parent()
        case "full_disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/zoo/cache")
        case "exit":
            os._exit(3)
        case "abort":
            os.abort()
        case "memory":
            raise MemoryError
        case "allocate":
            np.ones(1 << 40)
        case "system_exit":
            raise SystemExit
        case "start_process":
            subprocess.run(["true"], check=True)
        case "write":
            Path("~/stolen").expanduser().write_text("x")
        case "connect":
            socket.create_connection(("127.0.0.1", 9))
        case "compute":
            while True:
                hashlib.sha256(bytes(1 << 20))
        case "loop_in_c":  # no other thread of Python gets a turn
            re.match(r"(a+)+$", "a" * 64 + "b")
        case "hang":
            while True:
                time.sleep(0.1)


@hookimpl
def filtercrawl_readers() -> Iterator[PoisonedReader]:
    yield PoisonedReader()
