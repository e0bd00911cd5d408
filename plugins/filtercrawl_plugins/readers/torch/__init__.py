"""Reads what PyTorch saves, in all three of its formats, and runs nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Reader
from filtercrawl_plugins.readers.torch.readers import TorchLegacy, TorchScript, TorchZip

__all__ = ["filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield TorchZip()
    yield TorchLegacy()
    yield TorchScript()
