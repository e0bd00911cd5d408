"""The plugin API: records that sources yield, protocols that plugins implement, hooks and errors."""

from filtercrawl.api.analysis import Analysis, AnalysisOptions, DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl.api.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    PreviousState,
    RemoteFile,
    Skipped,
    TrainingRun,
    VisualCategory,
)
from filtercrawl.api.command import Command
from filtercrawl.api.errors import (
    AccessDeniedError,
    CheckpointError,
    FiltercrawlError,
    FormatError,
    NetworkError,
    NotFoundError,
    TruncatedError,
    UnsafeFileError,
    UnsupportedError,
)
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.measure import Accumulator, LayerSummary, Measure, Sketcher
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.source import (
    Files,
    Query,
    Reader,
    Source,
    SupportsBuild,
    SupportsCanonicalPattern,
    SupportsCount,
    SupportsLookup,
    SupportsSampleInput,
    SupportsSubfile,
    SupportsUrlResolution,
)
from filtercrawl.api.tensor import Convolution, Depth, Quantization, StoredTensor, TensorLocation
from filtercrawl.api.transport import Transport
from filtercrawl.api.version import API_VERSION

__all__ = [
    "API_VERSION",
    "AccessDeniedError",
    "Accumulator",
    "Analysis",
    "AnalysisOptions",
    "Checkpoint",
    "CheckpointError",
    "CheckpointMetadata",
    "Command",
    "Convolution",
    "DatasetView",
    "Depth",
    "Figure",
    "Files",
    "FiltercrawlError",
    "FormatError",
    "LayerSummary",
    "Measure",
    "NetworkError",
    "NotFoundError",
    "PreviousState",
    "Quantization",
    "Query",
    "RandomAccessFile",
    "Reader",
    "RemoteFile",
    "Result",
    "ResultTable",
    "SampleSize",
    "Sketcher",
    "Skipped",
    "Source",
    "StoredTensor",
    "SupportsBuild",
    "SupportsCanonicalPattern",
    "SupportsCount",
    "SupportsLookup",
    "SupportsSampleInput",
    "SupportsSubfile",
    "SupportsUrlResolution",
    "TensorLocation",
    "TrainingRun",
    "Transport",
    "TruncatedError",
    "UnsafeFileError",
    "UnsupportedError",
    "VisualCategory",
    "hookimpl",
]
