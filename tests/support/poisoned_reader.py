"""A plugin whose reader harms its process, or more than that, the first times that it reads a file."""

from __future__ import annotations

import hashlib
import json
import os
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
HEADER_BYTES: Final = 1024
SHAPE: Final = (8, 4, 3, 3)

Harm = Literal[
    "kill", "exit", "abort", "hang", "compute", "memory", "allocate", "start_process", "write", "connect", "system_exit"
]  # fmt: skip


def write_poisoned(path: Path, harm: Harm, *, times: int) -> Path:
    """Write a file with one layer whose reader does harm the first times; returns the log of its attempts."""
    log = path.parent.with_name(f"{path.name}.attempts")
    header = MAGIC + json.dumps({"harm": harm, "times": times, "log": str(log)}).encode()
    weight = np.random.default_rng(len(path.name)).standard_normal(SHAPE, dtype=np.float32)
    path.write_bytes(header.ljust(HEADER_BYTES) + weight.tobytes())
    return log


class PoisonedReader:
    name = "poisoned"

    def can_read(self, file: RandomAccessFile) -> bool:
        return file.size > HEADER_BYTES and file.read(0, len(MAGIC)) == MAGIC

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        stated = json.loads(files.main.read(len(MAGIC), HEADER_BYTES - len(MAGIC)))
        with Path(stated["log"]).open("a") as log:
            log.write(f"{os.getpid()}\n")
        if len(Path(stated["log"]).read_text().splitlines()) <= stated["times"]:
            do_harm(stated["harm"])
        location = TensorLocation(file=files.main, offset=HEADER_BYTES, dtype="float32", shape=SHAPE)
        yield StoredTensor(name="conv.weight", key="conv.weight", shape=SHAPE, dtype="float32", location=location)


def do_harm(harm: Harm) -> None:  # noqa: C901 - a list
    match harm:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
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
        case "hang":
            while True:
                time.sleep(0.1)


@hookimpl
def filtercrawl_readers() -> Iterator[PoisonedReader]:
    yield PoisonedReader()
