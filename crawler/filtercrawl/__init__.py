"""Crawl model zoos for trained convolution kernels, and use the dataset of them.

The functions here do what the commands of the same names do. Everything is imported on first use: `import filtercrawl`
loads neither torch nor datasets. Plugins import from `filtercrawl.api`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from filtercrawl.api.errors import FiltercrawlError, UsageError
    from filtercrawl.load import (
        Dataset,
        KernelDataset,
        load_first_layers,
        load_layers,
        open_dataset,
        to_flat_tensor,
        to_tensors,
    )
    from filtercrawl.pipeline.inspect import Inspection
    from filtercrawl.pipeline.report import SyncReport
    from filtercrawl.python_api.inspect import inspect
    from filtercrawl.python_api.status import DatasetStatus, status
    from filtercrawl.python_api.sync import sync
    from filtercrawl_analysis import AnalysisReport, analyze

    __version__: str

__all__ = [
    "AnalysisReport",
    "Dataset",
    "DatasetStatus",
    "FiltercrawlError",
    "Inspection",
    "KernelDataset",
    "SyncReport",
    "UsageError",
    "__version__",
    "analyze",
    "inspect",
    "load_first_layers",
    "load_layers",
    "open_dataset",
    "status",
    "sync",
    "to_flat_tensor",
    "to_tensors",
]

# The packages above this one are named and not imported: the core works without them.
_MODULES: Final = {
    "AnalysisReport": "filtercrawl_analysis",
    "Dataset": "filtercrawl.load",
    "DatasetStatus": "filtercrawl.python_api.status",
    "FiltercrawlError": "filtercrawl.api.errors",
    "Inspection": "filtercrawl.pipeline.inspect",
    "KernelDataset": "filtercrawl.load",
    "SyncReport": "filtercrawl.pipeline.report",
    "UsageError": "filtercrawl.api.errors",
    "analyze": "filtercrawl_analysis",
    "inspect": "filtercrawl.python_api.inspect",
    "load_first_layers": "filtercrawl.load",
    "load_layers": "filtercrawl.load",
    "open_dataset": "filtercrawl.load",
    "status": "filtercrawl.python_api.status",
    "sync": "filtercrawl.python_api.sync",
    "to_flat_tensor": "filtercrawl.load",
    "to_tensors": "filtercrawl.load",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("filtercrawl")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
