"""Readers of what PyTorch saves (zip, legacy, TorchScript, distributed, exported programs); no code of a file is run.

Flow: `zip_file` or `legacy` unpickles the object and locates its storages, `tensor_walk` finds its tensors, `modules`
and `torchscript` say what they are used for, and `tensor_locator` turns them into records.
"""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.reader import Reader
from filtercrawl_plugins.readers.torch.distributed import DistributedCheckpoint, DistributedShard
from filtercrawl_plugins.readers.torch.exported_program import ExportedProgramReader
from filtercrawl_plugins.readers.torch.readers import TorchLegacy, TorchScript, TorchZip

__all__ = ["filtercrawl_readers"]


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the readers; the row of archives of a shard comes before one archive."""
    yield DistributedCheckpoint()
    yield DistributedShard()
    yield TorchZip()
    yield TorchLegacy()
    yield TorchScript()
    yield ExportedProgramReader()
