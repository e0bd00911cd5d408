"""A plugin for `engines.py`: checkpoints whose reading waits, as for a server, and takes hardly any CPU time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from filtercrawl.api import Files, RandomAccessFile, StoredTensor, TensorLocation, hookimpl

MAGIC: Final = b"FCWAITING"
SHAPE: Final = (8, 4, 3, 3)
SECONDS: Final = 0.5


def write_waiting(folder: Path, n: int) -> None:
    random = np.random.default_rng(2)
    for number in range(n):
        (folder / f"{number:03}.bin").write_bytes(MAGIC + random.standard_normal(SHAPE, dtype=np.float32).tobytes())


class WaitingReader:
    """Reads one layer after a pause."""

    name = "waiting"

    def can_read(self, file: RandomAccessFile) -> bool:
        return file.size > len(MAGIC) and file.read(0, len(MAGIC)) == MAGIC

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - the protocol of readers
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        time.sleep(SECONDS)
        location = TensorLocation(file=files.main, offset=len(MAGIC), dtype="float32", shape=SHAPE)
        yield StoredTensor(name="conv.weight", key="conv.weight", shape=SHAPE, dtype="float32", location=location)


@hookimpl
def filtercrawl_readers() -> Iterator[WaitingReader]:
    yield WaitingReader()
