"""The pictures of kernels at the head of the page."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from filtercrawl_analysis.plots.theme import NOT_FINITE
from filtercrawl_analysis.report.kernel_picture import (
    COLUMNS,
    KERNELS,
    LAYERS_PER_MODEL,
    MAX_MODELS,
    kernel_grid,
    layer_pictures,
)
from support.memory_view import Layer, MemoryView


def layer(model: str, name: str, shape: tuple[int, ...] = (4, 4, 3, 3), **facts: object) -> Layer:
    weight = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return Layer(model_id=model, weight=weight, facts={"layer": name, **facts})


def kernels(n: int, taps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, taps)).astype(np.float32)


def test_a_grid_has_each_kernel_in_its_place() -> None:
    values = np.arange(1, 6 * 6 + 1, dtype=np.float32).reshape(6, 6)
    grid = kernel_grid(values, (2, 3))
    assert grid.shape == (2 * 2 + 1, COLUMNS * 3 + 3)
    assert np.array_equal(grid[:2, :3] * 36, values[0].reshape(2, 3))
    assert np.array_equal(grid[3:, 4:7] * 36, values[5].reshape(2, 3))
    assert np.isnan(grid[2]).all()
    assert np.isnan(grid[:, 3]).all()
    assert np.isnan(grid[3:, 8:]).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_marked_and_do_not_change_the_scale(broken: float) -> None:
    values = kernels(4, 9)
    values[1, 4] = broken
    grid = kernel_grid(values, (3, 3))
    assert np.isinf(grid[1, 5])
    assert np.abs(grid[np.isfinite(grid)]).max() == pytest.approx(1)


def test_kernels_that_are_not_finite_have_a_color_of_their_own_and_are_counted() -> None:
    weight = kernels(16, 9).reshape(4, 4, 3, 3)
    weight[0, 0] = np.nan
    weight[1, 1, 2, 2] = np.inf
    (picture,) = layer_pictures(MemoryView([Layer(model_id="m", weight=weight, facts={"layer": "conv"})]))  # type: ignore[arg-type]
    color = [round(255 * part) for part in to_rgb(NOT_FINITE)]
    for image in picture.images:
        pixels = np.asarray(Image.open(io.BytesIO(image)))
        assert (pixels == color).all(-1).sum() == 10
    assert picture.not_finite == 2


def test_kernels_of_zeros_and_of_nan_alone_can_be_shown() -> None:
    assert not np.nan_to_num(kernel_grid(np.zeros((4, 9), np.float32), (3, 3))).any()
    assert np.isinf(kernel_grid(np.full((1, 9), np.nan, np.float32), (3, 3))[:3, :3]).all()


def test_layers_are_spaced_evenly_by_depth_from_the_first_to_the_last() -> None:
    layers = [layer("m", f"conv{depth}", conv_depth=depth) for depth in (6, 0, 3, 1, 5, 2, 4)]
    pictures = layer_pictures(MemoryView(layers))  # type: ignore[arg-type]
    assert [picture.layer for picture in pictures] == ["conv0", "conv2", "conv4", "conv6"]
    assert [picture.place for picture in pictures] == [(1, 7), (3, 7), (5, 7), (7, 7)]
    assert len(pictures) == LAYERS_PER_MODEL


def test_one_model_of_each_family_is_shown_before_a_second_one() -> None:
    large = [layer(f"resnet{i}", "conv", (8, 8, 3, 3), family="resnet") for i in range(MAX_MODELS)]
    small = [layer("vgg", "conv", family="vgg"), layer("unknown", "conv")]
    shown = [picture.model_id for picture in layer_pictures(MemoryView([*large, *small]))]  # type: ignore[arg-type]
    assert shown == ["resnet0", "unknown", "vgg", "resnet1", "resnet2", "resnet3"]


def test_only_kernels_that_can_be_drawn_are_shown() -> None:
    others = [layer("a", "conv", (4, 4, 1, 3)), layer("b", "conv", (4, 4, 5)), layer("c", "conv", (4, 3, 16, 16))]
    assert layer_pictures(MemoryView(others)) == []  # type: ignore[arg-type]
    (picture,) = layer_pictures(MemoryView([*others, layer("d", "conv", (4, 4, 7, 3))]))  # type: ignore[arg-type]
    assert (picture.model_id, picture.kernel) == ("d", "7x3")


def test_images_have_a_pixel_a_weight_and_are_the_same_each_time() -> None:
    layers = [layer("m", "conv", (KERNELS, 2, 3, 3))]
    (picture,), (again,) = (layer_pictures(MemoryView(layers)) for _ in range(2))  # type: ignore[arg-type]
    assert picture == again
    light, dark = (np.asarray(Image.open(io.BytesIO(image))) for image in picture.images)
    assert light.shape == dark.shape == (15, 15, 3)
    assert picture.size == (15, 15)
    assert light[3].mean() > 250  # the gap has the color of the paper
    assert dark[3].mean() < 30
