"""filtercrawl: trained convolution kernels, crawled from checkpoints into a dataset.

What a plugin needs is here: records that a source yields, protocols that plugins implement, and `hookimpl`.
"""

from filtercrawl.analysis import Analysis, Basis, Figure, Holdings, Options, Result, ResultTable
from filtercrawl.api_version import API_VERSION
from filtercrawl.checkpoint import (
    Builds,
    Canonical,
    Checkpoint,
    Counts,
    Feeds,
    Known,
    Meta,
    Parts,
    Query,
    Reader,
    Recalls,
    RemoteFile,
    Resolves,
    Run,
    Skipped,
    Source,
    VisualCategory,
)
from filtercrawl.command import Command
from filtercrawl.errors import (
    CheckpointError,
    FiltercrawlError,
    ForbiddenError,
    FormatError,
    GoneError,
    NetworkError,
    TruncatedError,
    UnsafeError,
    UnsupportedError,
)
from filtercrawl.hookspecs import hookimpl
from filtercrawl.measure import Accumulator, LayerSummary, Measure, Sketcher
from filtercrawl.ranges import Files, RangeFile
from filtercrawl.tensor import Convolution, Depth, Extent, Quantization, StoredTensor
from filtercrawl.transport import Transport

__all__ = [
    "API_VERSION",
    "Accumulator",
    "Analysis",
    "Basis",
    "Builds",
    "Canonical",
    "Checkpoint",
    "CheckpointError",
    "Command",
    "Convolution",
    "Counts",
    "Depth",
    "Extent",
    "Feeds",
    "Figure",
    "Files",
    "FiltercrawlError",
    "ForbiddenError",
    "FormatError",
    "GoneError",
    "Holdings",
    "Known",
    "LayerSummary",
    "Measure",
    "Meta",
    "NetworkError",
    "Options",
    "Parts",
    "Quantization",
    "Query",
    "RangeFile",
    "Reader",
    "Recalls",
    "RemoteFile",
    "Resolves",
    "Result",
    "ResultTable",
    "Run",
    "Sketcher",
    "Skipped",
    "Source",
    "StoredTensor",
    "Transport",
    "TruncatedError",
    "UnsafeError",
    "UnsupportedError",
    "VisualCategory",
    "hookimpl",
]
