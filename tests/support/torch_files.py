"""Makes torch files in memory and reads them back through the bundled readers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile, RandomAccessFile
from filtercrawl.api.reader import Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl_plugins.readers.torch import filtercrawl_readers

READERS: dict[str, Reader] = {reader.name: reader for reader in filtercrawl_readers()}


class OneFile:
    """A checkpoint of one file."""

    def __init__(self, main: RandomAccessFile) -> None:
        self.main = main

    def open(self, path: str) -> RandomAccessFile:
        raise CheckpointError(f"{path}: no such file")

    def tensors(self, path: str) -> Iterator[StoredTensor]:
        raise CheckpointError(f"{path}: no such file")


def saved(value: object, *, zipped: bool = True, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # torch warns that it cannot store the source code of test classes, which is no concern here.
        warnings.filterwarnings("ignore", message="Couldn't retrieve source code")
        torch.save(value, buffer, _use_new_zipfile_serialization=zipped, **options)
    return buffer.getvalue()


@contextmanager
def torchscript() -> Iterator[None]:
    """Let torch announce the end of TorchScript; files of it are around for long."""
    with warnings.catch_warnings():
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", message=r".*torch\.jit", category=category)
        yield


def scripted(make: Callable[[], torch.jit.ScriptModule]) -> bytes:
    buffer = io.BytesIO()
    with torchscript():
        torch.jit.save(make(), buffer)
    return buffer.getvalue()


def claimed(data: bytes) -> list[str]:
    file = MemoryFile(data, "x.pt")
    return [name for name, reader in READERS.items() if reader.can_read(file)]


def read(data: bytes) -> dict[str, StoredTensor]:
    """Read a file by the one reader that claims it; every name is there once."""
    (name,) = claimed(data)
    tensors = list(READERS[name].tensors(OneFile(MemoryFile(data, "x.pt"))))
    named = {tensor.name: tensor for tensor in tensors}
    assert len(named) == len(tensors)
    return named


def numbers(tensor: StoredTensor) -> bytes:
    """Return the bytes of a stored tensor, row-major."""
    assert tensor.location is not None
    return tensor.location.read(tuple((0, size) for size in tensor.shape)).tobytes()


def bits(tensor: torch.Tensor) -> bytes:
    """Return the bytes of a tensor in memory, row-major."""
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)
    flat.view(tensor.shape).copy_(tensor.detach())
    return bytes(np.asarray(flat.view(torch.uint8))) if flat.numel() else b""
