"""Read a dataset: choose layers with SQL, get torch tensors without copies, iterate over shuffled kernels."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from filtercrawl.load.dataset import Dataset, DatasetInfo, open_dataset
    from filtercrawl.load.kernel_dataset import KernelDataset
    from filtercrawl.load.layers import load_first_layers, load_layers
    from filtercrawl.load.pictures import first_layer_pictures
    from filtercrawl.load.subset import Subset, SubsetLayer, load_subset
    from filtercrawl.load.tensors import to_flat_tensor, to_tensors

__all__ = [
    "Dataset",
    "DatasetInfo",
    "KernelDataset",
    "Subset",
    "SubsetLayer",
    "first_layer_pictures",
    "load_first_layers",
    "load_layers",
    "load_subset",
    "open_dataset",
    "to_flat_tensor",
    "to_tensors",
]

_MODULES: Final = {
    "Dataset": "dataset",
    "DatasetInfo": "dataset",
    "KernelDataset": "kernel_dataset",
    "Subset": "subset",
    "SubsetLayer": "subset",
    "first_layer_pictures": "pictures",
    "load_first_layers": "layers",
    "load_layers": "layers",
    "load_subset": "subset",
    "open_dataset": "dataset",
    "to_flat_tensor": "tensors",
    "to_tensors": "tensors",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: torch takes seconds, and tables alone do not need it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
