"""The attributes of kernels: numbers, categories, booleans, texts and lists."""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from filtercrawl.load.kernel_numbers import KernelNumbers

# Columns of `index` that are attributes as they are.
_OF_LAYERS: Final = (
    "source", "architecture", "task", "visual_category", "training_datasets", "license", "op", "layer", "depthwise",
    "is_first", "groups", "conv_depth", "conv_depth_norm",
)  # fmt: skip
COLUMNS: Final = ("layer_id", "model_id", "kernel_size", *_OF_LAYERS)
ABOUT: Final = {
    "kernel_id": "The kernel in the dataset, `layer_id:out:in`.",
    "model": "The checkpoint.",
    "source": "Where the checkpoint is from.",
    "architecture": "The architecture.",
    "task": "The task of the network.",
    "visual_category": "The visual category of the training data.",
    "training_datasets": "The training data, in order of training, each once.",
    "license": "The license of the checkpoint.",
    "op": "The operator of the layer.",
    "layer": "The module path of the layer.",
    "path": "The parts of the module path.",
    "depthwise": "Whether the layer is depthwise.",
    "is_first": "Whether no convolution precedes the layer.",
    "groups": "Groups of the layer.",
    "out_channels": "Output channels of the layer.",
    "in_channels": "Input channels of a group of the layer.",
    "conv_depth": "Depth of the layer, in convolutions.",
    "conv_depth_norm": "Depth of the layer relative to the network.",
    "norm": "Euclidean norm of the kernel.",
    "log_norm": "1000 times the binary logarithm of the norm, rounded.",
    "positive_taps": "How many numbers of the kernel are positive.",
    "small_taps": "Share of numbers whose magnitude is less than a hundredth of the largest.",
}


def attributes(layers: pa.Table, numbers: NDArray[np.int64], kernels: NDArray[np.float32]) -> pa.Table:
    """Return a row of attributes for each kernel; null where something is unknown.

    Args:
        layers: The layers, with `COLUMNS` and `shape`.
        numbers: Numbers of kernels of these layers `[n]`.
        kernels: The kernels as they are stored, float32 `[n, taps]`, finite and not zeros.
    """
    known = KernelNumbers(layers)
    rows = pa.array(known.places(numbers).row)
    shapes = layers["shape"].combine_chunks()
    exact = kernels.astype(np.float64)
    norm = np.sqrt((exact**2).sum(1))
    magnitude = np.abs(kernels)
    columns: dict[str, Any] = {
        "kernel_id": pa.array(known.ids(numbers), pa.string()),
        "model": layers["model_id"].take(rows),
        **{name: layers[name].take(rows) for name in _OF_LAYERS},
        "training_datasets": _distinct(layers["training_datasets"].to_pylist()).take(rows),
        "out_channels": pc.list_element(shapes, 0).take(rows),
        "in_channels": pc.list_element(shapes, 1).take(rows),
        "path": _parts(layers["layer"]).take(rows),
        "norm": pa.array(norm),
        "log_norm": pa.array(log_norms(norm)),
        "positive_taps": pa.array((kernels > 0).sum(1).astype(np.int32)),
        "small_taps": pa.array((magnitude < magnitude.max(1, keepdims=True) / 100).mean(1)),
    }
    return pa.table({name: columns[name] for name in ABOUT})


def log_norms(norms: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return 1000 times the binary logarithm of norms, rounded, the same on all machines `[n]`."""
    mantissas, exponents = np.frexp(norms)
    return np.asarray(1000 * (exponents - 1) + np.searchsorted(_log_bounds(), 2 * mantissas), np.int32)


@cache
def _log_bounds() -> NDArray[np.float64]:
    """Return the numbers from 1 to 2 where 1000 times the binary logarithm is rounded up.

    In decimals, as the last bit of a logarithm of NumPy is not the same on all processors.
    """
    context = Context(prec=28)
    return np.array([float(context.power(Decimal(2), Decimal(2 * step + 1) / 2000)) for step in range(1000)])


def _parts(layers: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return the parts of module paths, each once and without numbers; an unknown path has none."""
    return _distinct(
        [[part for part in (path or "").split(".") if part and not part.isdecimal()] for path in layers.to_pylist()]
    )


def _distinct(lists: list[list[str] | None]) -> pa.Array[Any]:
    """Return lists with each text once, in the order of the first ones."""
    return pa.array([None if each is None else list(dict.fromkeys(each)) for each in lists], pa.list_(pa.string()))


def value_counts(values: pa.ChunkedArray[Any]) -> dict[Any, int]:
    """Return how many rows have each value, or have it in their list; in the order of the values."""
    counts = _flat(values).value_counts().to_pylist()
    return dict(sorted((row["values"], row["counts"]) for row in counts if row["values"] is not None))


def count_values(values: pa.ChunkedArray[Any]) -> int:
    """Return how many values there are, also in lists."""
    return int(pc.count_distinct(_flat(values), mode="only_valid").as_py())


def _flat(values: pa.ChunkedArray[Any]) -> Any:
    return pc.list_flatten(values) if pa.types.is_list(values.type) else values
