"""Frequency, symmetry, separability and the census, on kernels that have them by construction."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from filtercrawl.api import CheckpointMetadata
from filtercrawl_analysis.statistics.quality.kernel_shape import (
    energy_share,
    mean_separability,
    separability,
    symmetry_projectors,
)
from support.synthetic_datasets import EDGES, Net, analysed, net, plant, rows

SIZES = [(3,), (1, 3), (3, 1), (3, 3), (5, 3), (4, 4), (7, 7), (3, 3, 3)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)

    def scaled(kernel: list[list[float]]) -> torch.Tensor:
        return torch.tensor(kernel) * torch.randn(8, 8, 1, 1, generator=generator)

    state = {
        "mean.weight": scaled([[1.0] * 3] * 3),
        "checks.weight": scaled([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]]),
        "edge.weight": scaled([[1.0, 0, -1]] * 3),
        "noise.weight": torch.randn(64, 64, 3, 3, generator=generator),
        "large.weight": torch.randn(16, 16, 9, 9, generator=generator),
        "line.weight": torch.randn(16, 16, 5, generator=generator),
    }
    return plant(tmp_path_factory.mktemp("shape"), [Net(name="net", state=state)])


def test_frequency_symmetry_and_separability_of_known_kernels(planted: Path) -> None:
    result = analysed("shape", planted)
    found = {str(row["layer_id"]).partition("#")[2].removesuffix(".weight"): row for row in rows(result, "layer_shape")}
    assert (found["mean"]["mean_share"], found["mean"]["frequency_centre"]) == pytest.approx((1, 0), abs=1e-9)
    assert (found["mean"]["rotation"], found["mean"]["separability"]) == pytest.approx((1, 1), abs=1e-6)
    assert found["edge"]["even_horizontal"] == pytest.approx(0, abs=1e-9)
    assert found["edge"]["even_vertical"] == pytest.approx(1)
    assert found["edge"]["even_point"] == pytest.approx(0, abs=1e-9)
    assert found["edge"]["rotation"] == pytest.approx(0, abs=1e-9)
    assert found["edge"]["frequency_centre"] == pytest.approx(1 / 3)
    assert found["checks"]["even_point"] == pytest.approx(1)
    assert float(found["checks"]["high_share"]) > 0.7  # type: ignore[arg-type]
    noise = next(row for row in rows(result, "shape_of_noise") if row["kernel"] == "3x3")
    for name in ("mean_share", "low_share", "frequency_centre", "even_point", "even_horizontal", "rotation"):
        assert found["noise"][name] == pytest.approx(noise[name], abs=0.02)
    assert found["noise"]["separability"] == pytest.approx(noise["separability"], abs=0.05)
    assert noise["rotation"] == pytest.approx(3 / 9)
    assert noise["even_point"] == pytest.approx(5 / 9)
    assert found["large"]["even_point"] is None
    assert found["large"]["frequency_centre"] is not None
    assert found["line"]["separability"] is found["line"]["even_horizontal"] is None
    profile = [row for row in rows(result, "frequency_profile") if row["kernel"] == "9x9"]
    assert sum(float(row["share"]) for row in profile) == pytest.approx(1)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_projectors_keep_just_what_the_symmetry_keeps(size: tuple[int, ...]) -> None:
    taps = math.prod(size)
    kernel = np.random.default_rng(1).standard_normal(size)
    found = symmetry_projectors(size)
    for name, projector in found.items():
        assert np.allclose(projector @ projector, projector)
        assert np.allclose(projector, projector.T)
        even = (projector @ kernel.ravel()).reshape(size)
        turned = {
            "even_point": np.flip(even),
            "even_horizontal": np.flip(even, -1),
            "even_vertical": np.flip(even, 0),
            "rotation": np.rot90(even) if len(size) == 2 else even,
        }[name]
        assert np.allclose(even, turned)
    energy = kernel.reshape(1, taps, 1) * kernel.reshape(1, 1, taps)
    assert energy_share(energy, found["even_point"])[0] == pytest.approx(
        float(((kernel + np.flip(kernel)) ** 2).sum() / 4 / (kernel**2).sum())
    )
    assert ("rotation" in found) == (len(size) == 2 and size[0] == size[1] > 1)
    assert ("even_horizontal" in found) == (len(size) > 1 and size[-1] > 1)


@given(arrays(np.float32, (3, 4), elements=st.floats(-10, 10, width=32)))
def test_products_of_a_column_and_a_row_are_separable(numbers: np.ndarray) -> None:
    products = np.einsum("ki,kj->kij", numbers[:, :2] + 20, numbers[:, 2:] + 20).reshape(3, 4)
    found = separability(products, (2, 2))
    assert found is not None
    assert found == pytest.approx(np.ones(3), abs=1e-6)


def test_separability_leaves_out_what_has_none() -> None:
    kernels = np.array([[0, 0, 0, 0], [1, 0, 0, 1], [np.nan, 1, 1, 1]], np.float32)
    found = separability(kernels, (2, 2))
    assert found is not None
    assert found.tolist() == pytest.approx([0.5])
    assert separability(kernels, (1, 4)) is separability(kernels, (4,)) is None


def test_the_census_counts_every_kernel_once_a_column(tmp_path: Path) -> None:
    nets = [net("a", EDGES, 1, task="t", released="2019-05-01"), net("b", EDGES, 2, released="2021")]
    nets.append(Net(name="c", state={"line.weight": torch.randn(4, 4, 5)}, meta=CheckpointMetadata(released="soon")))
    found = rows(analysed("census", plant(tmp_path, nets)), "census")
    years = {(row["group"], row["kernel"]): row["kernels"] for row in found if row["column"] == "year"}
    assert years == {("2019", "3x3"): 512, ("2021", "3x3"): 512, (None, "5"): 16}
    columns = {str(row["column"]) for row in found}
    assert columns == {"all", "year", "task"}  # of the others no group is known
    for column in columns:
        assert sum(int(row["kernels"]) for row in found if row["column"] == column) == 2 * 512 + 16  # type: ignore[call-overload]


def test_mean_separability_of_layers_is_that_of_each_alone() -> None:
    random = np.random.default_rng(0)
    layers = [random.standard_normal((n, 9)).astype(np.float32) for n in (1, 0, 5, 64)]
    layers.insert(2, np.zeros((3, 9), np.float32))
    layers[3][0, 0] = np.nan
    found = mean_separability(layers, (3, 3))
    for layer, mean in zip(layers, found, strict=True):
        alone = separability(layer, (3, 3))
        assert alone is not None
        assert mean == alone.mean() if len(alone) else np.isnan(mean)
    assert np.isnan(mean_separability(layers, (9,))).all()
    assert len(mean_separability([], (3, 3))) == 0
