"""Filters of first layers as pictures: their three input channels are the colors of an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.load.layers import load_first_layers

# Gray, which stands for a weight of zero, and the distance from it to black and to white.
_GRAY: Final = 127.5


def to_pictures(weight: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return filters as RGB pictures: zero is gray, and the largest magnitude of each filter is black or white.

    Input channels are red, green and blue in this order, whatever order the network was trained with; a single one is
    shown in gray. Weights that are not finite count as zero.

    Args:
        weight: [filters, 1 or 3, height, width].

    Returns:
        uint8 [filters, height, width, 3].

    Raises:
        ValueError: The weight is of another shape.
    """
    if weight.ndim != 4 or weight.shape[1] not in (1, 3):
        raise ValueError(f"filters of shape {list(weight.shape)} are no pictures; [n, 1 or 3, height, width] is needed")
    finite = np.nan_to_num(weight.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    peaks = np.abs(finite).max(axis=(1, 2, 3), keepdims=True, initial=0)
    scaled = _GRAY + _GRAY * finite / np.where(peaks > 0, peaks, 1)
    pictures = np.broadcast_to(scaled, (len(weight), 3, *weight.shape[2:]))
    return np.ascontiguousarray(pictures.transpose(0, 2, 3, 1).round().astype(np.uint8))


def first_layer_pictures(
    repo_or_path: str | Path, where: str | None = None, *, revision: str | None = None
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the filters of first convolutions as RGB pictures.

    First layers that are not two-dimensional, or of other than one or three input channels, are left out.

    Args:
        repo_or_path: A folder, `org/name` or `org/name@revision`.
        where: A condition as for `load_layers`; None for all.
        revision: A branch, tag or commit of a repository; by default `main`.

    Yields:
        The recipe as in `index`, or the model id if it is unknown; and the pictures, uint8 `[out_channels, height,
        width, 3]`: zero is gray, and each filter has its own scale.

    Raises:
        UsageError: The condition or the dataset is not understood.
        DatasetError: The dataset is damaged.
        NetworkError: The Hub does not answer, or has no such repository or revision.

    Example:
        >>> for recipe, pictures in filtercrawl.first_layer_pictures("org/kernels", "family = 'resnet'"):
        ...     PIL.Image.fromarray(pictures[0]).save(f"{recipe}.png")
    """
    for name, weight in load_first_layers(repo_or_path, where, revision=revision):
        if weight.dim() == 4 and weight.shape[1] in (1, 3):
            yield name, to_pictures(weight.numpy())
