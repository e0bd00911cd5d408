"""filtercrawl: trained convolution kernels, crawled from checkpoints into a dataset.

What a plugin needs is here: records that a source yields, protocols that plugins implement, and `hookimpl`.
"""

from filtercrawl.api.analysis import Analysis, Basis, Figure, Holdings, Options, Result, ResultTable
from filtercrawl.api.checkpoint import Checkpoint, Known, Meta, RemoteFile, Run, Skipped, VisualCategory
from filtercrawl.api.command import Command
from filtercrawl.api.errors import (
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
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.measure import Accumulator, LayerSummary, Measure, Sketcher
from filtercrawl.api.range_file import RangeFile
from filtercrawl.api.source import (
    Builds,
    Canonical,
    Counts,
    Feeds,
    Files,
    Parts,
    Query,
    Reader,
    Recalls,
    Resolves,
    Source,
)
from filtercrawl.api.tensor import Convolution, Depth, Extent, Quantization, StoredTensor
from filtercrawl.api.transport import Transport
from filtercrawl.api.version import API_VERSION

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
