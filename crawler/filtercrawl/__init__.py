"""filtercrawl: trained convolution kernels, crawled from checkpoints into a dataset.

What a plugin needs is here: records that a source yields, protocols that plugins implement, and `hookimpl`.
"""

from filtercrawl.checkpoint import (
    Canonical,
    Checkpoint,
    Counts,
    Meta,
    Query,
    Reader,
    RemoteFile,
    Run,
    Skipped,
    Source,
)
from filtercrawl.command import Command
from filtercrawl.errors import (
    CheckpointError,
    FiltercrawlError,
    FormatError,
    TruncatedError,
    UnsafeError,
    UnsupportedError,
)
from filtercrawl.hookspecs import hookimpl
from filtercrawl.measure import Accumulator, LayerSummary, Measure
from filtercrawl.ranges import Files, RangeFile
from filtercrawl.tensor import Convolution, Extent, Quantization, StoredTensor
from filtercrawl.transport import Transport

__all__ = [
    "Accumulator",
    "Canonical",
    "Checkpoint",
    "CheckpointError",
    "Command",
    "Convolution",
    "Counts",
    "Extent",
    "Files",
    "FiltercrawlError",
    "FormatError",
    "LayerSummary",
    "Measure",
    "Meta",
    "Quantization",
    "Query",
    "RangeFile",
    "Reader",
    "RemoteFile",
    "Run",
    "Skipped",
    "Source",
    "StoredTensor",
    "Transport",
    "TruncatedError",
    "UnsafeError",
    "UnsupportedError",
    "hookimpl",
]
