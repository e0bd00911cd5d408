"""Crawl model zoos for trained convolution kernels, and use the dataset of them.

The functions here do what the commands of the same names do. Everything is imported on first use: `import filtercrawl`
loads neither torch nor datasets. Plugins import from `filtercrawl.api`.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from filtercrawl.api.errors import FiltercrawlError, UsageError
    from filtercrawl.kernel_search import SearchReport, search
    from filtercrawl.load import (
        Dataset,
        KernelDataset,
        Subset,
        first_layer_pictures,
        load_first_layers,
        load_layers,
        load_subset,
        open_dataset,
        to_flat_tensor,
        to_tensors,
    )
    from filtercrawl.pipeline.inspection import Inspection
    from filtercrawl.pipeline.report import SyncReport
    from filtercrawl.python_api.inspect import inspect
    from filtercrawl.python_api.status import DatasetStatus, status
    from filtercrawl.python_api.sync import sync
    from filtercrawl.subsets.make import subset
    from filtercrawl.subsets.report import SubsetReport
    from filtercrawl.weight_space.token_dataset import ModelTokens, TokenDataset
    from filtercrawl.weight_space.tokens import TokenSequence, detokenize, tokenize
    from filtercrawl_analysis import AnalysisReport, ComparisonReport, analyze, compare
    from filtercrawl_publish import Difference, PublishResult, VerifyReport, diff, publish, verify

    __version__: str

# Nothing is printed unless the application configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "AnalysisReport",
    "ComparisonReport",
    "Dataset",
    "DatasetStatus",
    "Difference",
    "FiltercrawlError",
    "Inspection",
    "KernelDataset",
    "ModelTokens",
    "PublishResult",
    "SearchReport",
    "Subset",
    "SubsetReport",
    "SyncReport",
    "TokenDataset",
    "TokenSequence",
    "UsageError",
    "VerifyReport",
    "__version__",
    "analyze",
    "compare",
    "detokenize",
    "diff",
    "first_layer_pictures",
    "inspect",
    "load_first_layers",
    "load_layers",
    "load_subset",
    "open_dataset",
    "publish",
    "search",
    "status",
    "subset",
    "sync",
    "to_flat_tensor",
    "to_tensors",
    "tokenize",
    "verify",
]

# The packages above this one are named and not imported: the core works without them.
_MODULES: Final = {
    "AnalysisReport": "filtercrawl_analysis",
    "ComparisonReport": "filtercrawl_analysis",
    "Dataset": "filtercrawl.load",
    "DatasetStatus": "filtercrawl.python_api.status",
    "Difference": "filtercrawl_publish",
    "FiltercrawlError": "filtercrawl.api.errors",
    "Inspection": "filtercrawl.pipeline.inspection",
    "KernelDataset": "filtercrawl.load",
    "ModelTokens": "filtercrawl.weight_space.token_dataset",
    "PublishResult": "filtercrawl_publish",
    "SearchReport": "filtercrawl.kernel_search",
    "Subset": "filtercrawl.load",
    "SubsetReport": "filtercrawl.subsets.report",
    "SyncReport": "filtercrawl.pipeline.report",
    "TokenDataset": "filtercrawl.weight_space.token_dataset",
    "TokenSequence": "filtercrawl.weight_space.tokens",
    "UsageError": "filtercrawl.api.errors",
    "VerifyReport": "filtercrawl_publish",
    "analyze": "filtercrawl_analysis",
    "compare": "filtercrawl_analysis",
    "detokenize": "filtercrawl.weight_space.tokens",
    "diff": "filtercrawl_publish",
    "first_layer_pictures": "filtercrawl.load",
    "inspect": "filtercrawl.python_api.inspect",
    "load_first_layers": "filtercrawl.load",
    "load_layers": "filtercrawl.load",
    "load_subset": "filtercrawl.load",
    "open_dataset": "filtercrawl.load",
    "publish": "filtercrawl_publish",
    "search": "filtercrawl.kernel_search",
    "status": "filtercrawl.python_api.status",
    "subset": "filtercrawl.subsets.make",
    "sync": "filtercrawl.python_api.sync",
    "to_flat_tensor": "filtercrawl.load",
    "to_tensors": "filtercrawl.load",
    "tokenize": "filtercrawl.weight_space.tokens",
    "verify": "filtercrawl_publish",
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
