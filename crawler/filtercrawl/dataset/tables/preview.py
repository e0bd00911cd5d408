"""Draw a picture of a layer's kernels, for the rows of the config `preview`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from filtercrawl.dataset.files.parquet import ContentDefinedBoundary, record_batches
from filtercrawl.dataset.schema.arrow import PREVIEW
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.kernel_tiles import SEPARATOR, encode_png, kernel_tiles
from filtercrawl.dataset.tables.samples import Samples

IMAGE_SIZE_PX: Final = 512
# To be raised when pictures come to look otherwise: those of another style are drawn again.
STYLE: Final = "1"
PictureKey = tuple[str, str]

# Pictures in a batch, and so in a row group: a viewer fetches some hundred kilobytes for its first page.
_BATCH_ROWS: Final = 200
_CUT: Final = ContentDefinedBoundary(key="layer_id", one_in=80)
_GAP: Final = 3
# Taps in a picture, at most: keeps it at some ten kilobytes.
_TAPS: Final = 9_216


def table(
    rows: Iterable[IndexRow], find: Callable[[str], Samples | None], drawn: Mapping[PictureKey, bytes]
) -> Iterator[pa.RecordBatch]:
    """Turn rows of `index` into record batches of `preview`.

    Args:
        rows: The layers.
        find: Returns the samples of a layer by its `layer_sha256`.
        drawn: Pictures that need not be drawn again, as `pictures_in` returns them.
    """
    pictures: dict[str, bytes | None] = {}

    def shown(row: IndexRow) -> dict[str, Any]:
        content = row.layer_sha256 or ""
        path = f"{content[:16]}.png"
        if content not in pictures:
            samples = find(content)
            known = drawn.get((path, row.kernel))
            pictures[content] = (known or render_layer(samples.values, row.kernel_size)) if samples else None
        data = pictures[content]
        return {**row.to_arrow(), "picture": None if data is None else {"bytes": data, "path": path}}

    return record_batches(map(shown, rows), PREVIEW, _BATCH_ROWS, _CUT)


def pictures_in(files: Iterable[Path]) -> dict[PictureKey, bytes]:
    """Return the pictures in files of `preview`, by the name of each and its kernel size."""
    pictures: dict[PictureKey, bytes] = {}
    for file in files:
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(columns=["picture", "kernel"]):
                for picture, kernel in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if picture is not None:
                        pictures[picture["path"], kernel] = picture["bytes"]
    return pictures


def render_layer(values: NDArray[np.float32], kernel_size: Sequence[int]) -> bytes:
    """Draw kernels [k, taps] as a PNG of at most SIDE x SIDE pixels, each scaled by its largest magnitude.

    Blue is negative, white zero, orange positive, green not finite; the slices of a 3-D kernel are drawn side by
    side. Kernels that do not fit are left out from the end, taps that do not fit are averaged.
    """
    tiles = kernel_tiles(_fitting(values.reshape(len(values), *kernel_size)))
    k, height, width = tiles.shape
    y, x = _pixels(height, width), _pixels(width, height)
    down, across = height * y + _GAP, width * x + _GAP
    columns = max(1, min(k, (IMAGE_SIZE_PX - _GAP) // across, math.ceil(math.sqrt(k * down / across))))
    lines = max(1, min(math.ceil(k / columns), (IMAGE_SIZE_PX - _GAP) // down))
    shown = tiles[: lines * columns].repeat(y, 1).repeat(x, 2)
    cells = np.full((lines * columns, down, across), SEPARATOR, np.uint8)
    cells[: len(shown), _GAP:, _GAP:] = shown
    canvas = np.full((lines * down + _GAP, columns * across + _GAP), SEPARATOR, np.uint8)
    canvas[:-_GAP, :-_GAP] = cells.reshape(lines, columns, down, across).swapaxes(1, 2).reshape(lines * down, -1)
    return encode_png(canvas)


def _fitting(kernels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Average neighboring taps until a kernel is small enough, then leave out kernels; [k, *kernel_size]."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN as well
        fitting = kernels.astype(np.float64)
    for axis, (size, limit) in enumerate(zip(kernels.shape[1:], _limits(kernels.shape[1:]), strict=True), 1):
        step = math.ceil(size / limit)
        starts = np.arange(0, size, step)
        widths = np.diff(starts, append=size)
        with np.errstate(invalid="ignore"):  # infinities of both signs have no mean: drawn as not finite
            fitting = np.add.reduceat(fitting, starts, axis)
        fitting /= widths.reshape(-1, *[1] * (fitting.ndim - axis - 1))
    return fitting[: max(1, _TAPS // math.prod(fitting.shape[1:]))]


def _limits(kernel_size: tuple[int, ...]) -> tuple[int, ...]:
    """Taps an axis that leave each tap at least two pixels on a line, four on a plane."""
    line = (IMAGE_SIZE_PX - 2 * _GAP) // 2
    if len(kernel_size) < 3:
        strip = max(kernel_size) == math.prod(kernel_size)
        return tuple(line if strip else line // 2 for _ in kernel_size)
    depth = min(kernel_size[0], 16)
    return depth, line // 4, max(1, line // depth - 1)


def _pixels(taps: int, others: int) -> int:
    """Pixels a tap along an axis of `taps`: small kernels are drawn large, strips are drawn thick."""
    wanted = max(4, min(12, round(36 / math.sqrt(taps * others))), 8 if taps == 1 else 0)
    return max(1, min(wanted, (IMAGE_SIZE_PX - 2 * _GAP) // taps))
