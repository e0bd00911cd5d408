"""Reads what PyTorch saves, in all three of its formats, and runs nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl_plugins.readers.torch.readers import TorchLegacy, TorchScript, TorchZip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from filtercrawl.api.source import Reader

__all__ = ["filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield TorchZip()
    yield TorchLegacy()
    yield TorchScript()
