"""Pictures of real kernels for the head of the page: which layers are shown, and their sampled kernels as images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from numpy.typing import NDArray
from PIL import Image

from filtercrawl.api.analysis import DatasetView
from filtercrawl_analysis.plots.theme import DARK, LIGHT, NOT_FINITE, Theme, diverging

MAX_MODELS: Final = 6
LAYERS_PER_MODEL: Final = 4
# Kernels of a layer, in rows of as many columns.
KERNELS: Final = 16
COLUMNS: Final = 4
# Larger kernels, as those of patch embeddings, would be shown too small to be seen.
MAX_SIDE: Final = 11
_DARK_DIVERGING: Final = ("#9fd0ff", "#3b8fd6", "#22496c", "#2a2f37", "#6b3d14", "#dd7d22", "#ffd0a1")


@dataclass(frozen=True, kw_only=True)
class LayerPicture:
    """Sampled kernels of one layer.

    Attributes:
        model_id: The model.
        layer: Its name in the model.
        layer_id: Its id in the dataset.
        kernel: The kernel size, such as `3x3`.
        place: Its position among the layers of the model that can be shown, from 1, and their number.
        images: PNG of the kernels for the light and the dark theme: a pixel a weight, a gap of one between kernels.
        size: Width and height of the images in pixels.
        not_finite: Number of kernels in the images with weights that are infinite or NaN.
    """

    model_id: str
    layer: str
    layer_id: str
    kernel: str
    place: tuple[int, int]
    images: tuple[bytes, bytes]
    size: tuple[int, int]
    not_finite: int


def layer_pictures(dataset: DatasetView) -> list[LayerPicture]:
    """Return pictures of up to `LAYERS_PER_MODEL` layers of up to `MAX_MODELS` models; none if no kernel is 2-D.

    The models are those with the most kernels of 3x3 to 11x11, the largest of each family first, and the layers are
    spaced evenly from the first to the last, by depth where that is known of all. Kernels are the first ones of the
    samples, which are picked by hash: the same dataset gives the same pictures.
    """
    chosen = list(_choose_layers(dataset.index))
    samples = dict(dataset.samples([row["layer_sha256"] for row, _ in chosen]))
    return [
        _picture(row, place, samples[row["layer_sha256"]]) for row, place in chosen if row["layer_sha256"] in samples
    ]


def _choose_layers(index: pa.Table) -> Iterator[tuple[dict[str, Any], tuple[int, int]]]:
    """Yield rows of layers with their places, model by model."""
    names = ["model_id", "layer_id", "layer", "layer_sha256", "kernel", "kernel_size", "n_kernels", "family"]
    drawable = [kernel for kernel in pc.unique(index["kernel"]).to_pylist() if _is_drawable(kernel)]
    layers = index.select([*names, "conv_depth"]).filter(pc.is_in(index["kernel"], pa.array(drawable, pa.string())))
    for model_id in _choose_models(layers):
        rows = layers.filter(pc.equal(layers["model_id"], model_id)).to_pylist()
        if all(row["conv_depth"] is not None for row in rows):
            rows = sorted(rows, key=lambda row: (row["conv_depth"], row["layer_id"]))
        n = min(LAYERS_PER_MODEL, len(rows))
        positions = np.linspace(0, len(rows) - 1, n).round().astype(int).tolist()
        yield from ((rows[position], (position + 1, len(rows))) for position in positions)


def _is_drawable(kernel: str) -> bool:
    size = [int(side) for side in kernel.split("x")]
    return len(size) == 2 and min(size) >= 3 and max(size) <= MAX_SIDE


def _choose_models(layers: pa.Table) -> list[str]:
    """Return the models to show: the largest of each family by kernels first, then the largest of the others."""
    totals: dict[str, int] = {}
    families: dict[str, str | None] = {}
    columns = (layers[name].to_pylist() for name in ("model_id", "family", "n_kernels"))
    for model, family, kernels in zip(*columns, strict=True):
        totals[model] = totals.get(model, 0) + kernels
        families.setdefault(model, family)
    ranked = sorted(totals, key=lambda model: (-totals[model], model))
    largest: dict[str, str] = {}
    for model in ranked:
        largest.setdefault(families[model] or f"{model} alone", model)
    first = set(largest.values())
    return sorted(ranked, key=lambda model: model not in first)[:MAX_MODELS]


def _picture(row: dict[str, Any], place: tuple[int, int], kernels: NDArray[np.float32]) -> LayerPicture:
    shown = kernels[:KERNELS]
    grid = kernel_grid(shown, row["kernel_size"])
    return LayerPicture(
        model_id=row["model_id"],
        layer=row["layer"],
        layer_id=row["layer_id"],
        kernel=row["kernel"],
        place=place,
        images=(_png(grid, LIGHT), _png(grid, DARK)),
        size=(grid.shape[1], grid.shape[0]),
        not_finite=int((~np.isfinite(shown)).any(1).sum()),
    )


def kernel_grid(kernels: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float64]:
    """Return kernels beside each other, with gaps of one NaN.

    Args:
        kernels: float32 [k, taps].
        size: Height and width of a kernel.

    Returns:
        float64 [height, width] in [-1, 1]: weights divided by the largest finite magnitude of all. Weights that are not
        finite, NaN included, are infinity.
    """
    height, width = size
    rows = -(-len(kernels) // COLUMNS)
    grid = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1), np.nan)
    for position, kernel in enumerate(kernels):
        top, left = position // COLUMNS * (height + 1), position % COLUMNS * (width + 1)
        grid[top : top + height, left : left + width] = np.where(np.isfinite(kernel), kernel, np.inf).reshape(size)
    largest = np.nanmax(np.abs(grid), initial=0.0, where=np.isfinite(grid))
    return grid / largest if largest > 0 else grid


def _png(grid: NDArray[np.float64], theme: Theme) -> bytes:
    """Return an image of a grid: zero has the color of the paper's tint, gaps that of the paper, infinity its own."""
    colors = diverging() if theme is LIGHT else LinearSegmentedColormap.from_list("dark", list(_DARK_DIVERGING))
    image = colors(np.where(np.isfinite(grid), grid, 0) / 2 + 0.5)[..., :3]
    image[np.isinf(grid)] = to_rgb(NOT_FINITE)
    image[np.isnan(grid)] = to_rgb(theme.paper)
    out = io.BytesIO()
    Image.fromarray((255 * image).round().astype(np.uint8), "RGB").save(out, "png", optimize=True)
    return out.getvalue()
