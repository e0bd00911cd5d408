"""Draw kernels as small tiles in one palette: blue is negative, white zero, orange positive, green not finite."""

from __future__ import annotations

import io
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Palette: an odd number of steps from the most negative weight to the most positive, zero in the middle.
_STEPS: Final = 41
SEPARATOR: Final = _STEPS
_SLICE: Final = _STEPS + 1
_NONFINITE: Final = _STEPS + 2
# Blue and orange stay apart for every common kind of color blindness.
_ANCHORS: Final = np.array([(13, 43, 100), (70, 130, 195), (247, 247, 247), (238, 145, 65), (125, 45, 5)])
_OTHERS: Final = ((90, 90, 90), (170, 170, 170), (20, 160, 60))
# Beyond the colors: the page is seen through it.
TRANSPARENT: Final = _STEPS + len(_OTHERS)


def kernel_tiles(kernels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return kernels [k, *kernel_size] as pictures [k, height, width] of palette entries.

    Each is scaled by its own largest finite magnitude; the slices of a 3-D kernel lie side by side.
    """
    return _tiles(_codes(kernels))


def encode_png(canvas: NDArray[np.uint8], *, transparent: bool = False) -> bytes:
    """Return a picture of palette entries as PNG.

    Args:
        canvas: Palette entries [height, width].
        transparent: Whether `TRANSPARENT` is among them.
    """
    picture = Image.fromarray(canvas)
    picture.putpalette(_palette(transparent=transparent))
    file = io.BytesIO()
    picture.save(file, "PNG", **({"transparency": TRANSPARENT} if transparent else {}))
    return file.getvalue()


@cache
def _palette(*, transparent: bool) -> bytes:
    """Return the colors of the palette, three bytes each."""
    steps = np.linspace(0, len(_ANCHORS) - 1, _STEPS)
    colors = np.stack([np.interp(steps, range(len(_ANCHORS)), channel) for channel in _ANCHORS.T], axis=1)
    others = (*_OTHERS, (128, 128, 128)) if transparent else _OTHERS
    return np.concatenate([np.rint(colors), others]).astype(np.uint8).tobytes()


def _codes(kernels: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map each kernel to palette entries by its own largest finite magnitude."""
    finite = np.isfinite(kernels)
    known = np.where(finite, kernels, 0)
    largest = np.abs(known).max(axis=tuple(range(1, kernels.ndim)), keepdims=True)
    scaled = known / np.where(largest > 0, largest, 1)
    codes = np.rint((scaled + 1) * (_STEPS // 2)).astype(np.uint8)
    return np.where(finite, codes, np.uint8(_NONFINITE))


def _tiles(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay kernels of one, two or three axes out as pictures [k, height, width]."""
    if codes.ndim == 2:
        return codes[:, None]
    if codes.ndim == 3:
        return codes
    k, depth, height, width = codes.shape
    slices = np.pad(codes, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=_SLICE)
    return slices.transpose(0, 2, 1, 3).reshape(k, height, depth * (width + 1))[:, :, :-1]
