"""The picture at the top of the dataset card: kernels of a few layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl.dataset.card.figures import KernelPicture, PicturedLayer
from filtercrawl.dataset.files.atomic import write_bytes
from filtercrawl.dataset.files.manifest import PICTURE
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.kernel_tiles import SEPARATOR, TRANSPARENT, encode_png, kernel_tiles
from filtercrawl.dataset.tables.picture_choice import KERNELS, LAYERS, TILE_TAPS, order_in_picture
from filtercrawl.dataset.tables.samples import Samples

# Lengths in pixels. A tile has at most TILE_TAPS taps a side, and a border that shows on light and dark pages alike.
_TILE: Final = TILE_TAPS
_STEP: Final = _TILE + 6
_GAP: Final = 18
# Tiles of a layer in a line, and layers in a line of the picture.
_TILE_COLUMNS: Final = 5
_LAYER_COLUMNS: Final = 4


def write_picture(
    folder: Path, candidates: Iterable[IndexRow], find: Callable[[str], Samples | None]
) -> tuple[KernelPicture | None, list[str]]:
    """Write the picture of `draw_layers`; return what it shows, None without one, and its path if the file changed."""
    layers, data = draw_layers(candidates, find)
    if data is None:
        return None, []
    shown = (
        PicturedLayer(model_id=row.model_id, layer=row.layer, kernel=row.kernel, is_first=bool(row.is_first))
        for row in layers
    )
    changed = [PICTURE] if write_bytes(folder / PICTURE, folder, data) else []
    return KernelPicture(layers=tuple(shown), kernels=KERNELS), changed


def draw_layers(
    candidates: Iterable[IndexRow], find: Callable[[str], Samples | None]
) -> tuple[list[IndexRow], bytes | None]:
    """Draw the first candidates that have samples.

    Args:
        candidates: Layers in the order in which they are taken.
        find: Returns the samples of a layer by its `layer_sha256`.

    Returns:
        The layers in their order in the picture, line by line, and the picture as PNG; None where there is no layer.
    """
    found = ((row, find(row.layer_sha256 or "")) for row in candidates)
    chosen = list(islice(((row, samples) for row, samples in found if samples and len(samples.positions)), LAYERS))
    if not chosen:
        return [], None
    chosen.sort(key=lambda entry: order_in_picture(entry[0]))
    blocks = [_block(samples.values.reshape(-1, *row.kernel_size)) for row, samples in chosen]
    return [row for row, _ in chosen], encode_png(_arrange(blocks), transparent=True)


def _block(kernels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw at most `KERNELS` kernels [k, *kernel_size] of a layer, evenly spread over those that there are."""
    n = min(KERNELS, len(kernels))
    tiles = kernel_tiles(kernels[np.arange(n) * len(kernels) // n].astype(np.float64))
    block = np.full((math.ceil(KERNELS / _TILE_COLUMNS) * _STEP, _TILE_COLUMNS * _STEP), TRANSPARENT, np.uint8)
    pixels = max(1, _TILE // max(tiles.shape[1:]))
    height, width = (taps * pixels for taps in tiles.shape[1:])
    for number, tile in enumerate(tiles):
        line, column = divmod(number, _TILE_COLUMNS)
        top, left = line * _STEP + (_STEP - height) // 2, column * _STEP + (_STEP - width) // 2
        block[top - 1 : top + height + 1, left - 1 : left + width + 1] = SEPARATOR
        block[top : top + height, left : left + width] = tile.repeat(pixels, 0).repeat(pixels, 1)
    return block


def _arrange(blocks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    height, width = blocks[0].shape
    columns = min(_LAYER_COLUMNS, len(blocks))
    lines = math.ceil(len(blocks) / columns)
    canvas = np.full((lines * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP), TRANSPARENT, np.uint8)
    for number, block in enumerate(blocks):
        line, column = divmod(number, columns)
        top, left = line * (height + _GAP), column * (width + _GAP)
        canvas[top : top + height, left : left + width] = block
    return canvas
