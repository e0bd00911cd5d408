"""The attributes of kernels: numbers, categories, booleans, texts and lists."""

from __future__ import annotations

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
    "training_datasets": "The training data, in order of training.",
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
        "out_channels": pc.list_element(shapes, 0).take(rows),
        "in_channels": pc.list_element(shapes, 1).take(rows),
        "path": _parts(layers["layer"]).take(rows),
        "norm": pa.array(norm),
        "log_norm": pa.array(np.rint(1000 * np.log2(norm)).astype(np.int32)),
        "positive_taps": pa.array((kernels > 0).sum(1).astype(np.int32)),
        "small_taps": pa.array((magnitude < magnitude.max(1, keepdims=True) / 100).mean(1)),
    }
    return pa.table({name: columns[name] for name in ABOUT})


def _parts(layers: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Return the parts of module paths, each once and without numbers; an unknown path has none."""
    parts = [[part for part in (path or "").split(".") if part and not part.isdecimal()] for path in layers.to_pylist()]
    return pa.array([list(dict.fromkeys(part)) for part in parts], pa.list_(pa.string()))


def value_counts(values: pa.ChunkedArray[Any]) -> dict[Any, int]:
    """Return how many rows have each value, or have it in their list; in the order of the values."""
    flat = pc.list_flatten(values) if pa.types.is_list(values.type) else values
    counted = [(row["values"], row["counts"]) for row in flat.value_counts().to_pylist() if row["values"] is not None]
    return dict(sorted(counted))
