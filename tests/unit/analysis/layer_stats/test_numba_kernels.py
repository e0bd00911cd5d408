"""The look at kernels as machine code against the passes over them, and against numpy in float64."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.layer_sums import BinnedBasis
from filtercrawl_analysis.layer_stats.numba_kernels import MIN_KERNELS, layer_sums, should_compile
from filtercrawl_analysis.layer_stats.sketch import LayerSketch
from filtercrawl_analysis.numerics.scaling import column_chunks, finite_columns, scale_kernels
from filtercrawl_analysis.numerics.streaming import bin_counts
from support.sketch_reference import summary

numba = pytest.importorskip("numba", reason="numba is not installed: there is nothing to compile with")

Weight = NDArray[np.float32]
CPU = torch.device("cpu")


def normal(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(shape)


def moments(weight: Weight, cuts: tuple[int, ...] = ()) -> LayerSketch:
    layer = LayerSketch(summary(weight))
    for part in np.split(weight, sorted(cuts)):
        layer.update(torch.from_numpy(part))
    return layer


def by_passes(weight: Weight, cuts: tuple[int, ...] = ()) -> LayerSketch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("filtercrawl_analysis.layer_stats.moments.should_compile", lambda *_: False)
        return moments(weight, cuts)


def same(got: LayerSketch, want: LayerSketch) -> None:
    """Counts exactly, sums to 1e-9 of the sum of their magnitudes."""
    same_scaled(got.finish(), want.finish())
    assert (got.n, got.n_dead, got.power_sums[0]) == (want.n, want.n_dead, want.power_sums[0])
    assert got.norm_l1 == pytest.approx(want.norm_l1, rel=1e-9)
    number, _, squares, _, fourths = want.power_sums
    scales = [number, math.sqrt(number * squares), squares, math.sqrt(squares) * math.sqrt(fourths), fourths]
    for power, scale in enumerate(scales):
        assert got.power_sums[power] == pytest.approx(want.power_sums[power], rel=1e-9, abs=1e-9 * scale)
    assert got.covariance is not None
    assert want.covariance is not None
    trace = float(want.covariance.scatter.trace())
    np.testing.assert_allclose(got.covariance.scatter, want.covariance.scatter, rtol=1e-9, atol=1e-9 * trace)
    margin = 1e-12 * np.abs(want.covariance.mean).max() + 1e-9 * math.sqrt(trace / max(want.n, 1))
    np.testing.assert_allclose(got.covariance.mean, want.covariance.mean, rtol=1e-9, atol=margin)


def same_scaled(got: dict[str, Any], want: dict[str, Any]) -> None:
    """The same bins, but for coefficients within rounding of an edge; sums to 1e-9."""
    assert got["n_zero"] == want["n_zero"]
    counts, expected = np.array(got["histogram"]), np.array(want["histogram"])
    assert counts.sum() == expected.sum() == got["n_finite"] * got["taps"]
    assert np.abs(counts - expected).sum() <= 2e-6 * expected.sum() + 2
    scale = max(want["n_finite"], 1)  # no magnitude is above 1
    np.testing.assert_allclose(got["scaled_mean"], want["scaled_mean"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got["scaled_scatter"], want["scaled_scatter"], rtol=1e-9, atol=1e-12 * scale)


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 700),
    taps=st.integers(1, 49),
    exponent=st.integers(-20, 20),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
    dead=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_look_agrees_with_numpy(count: int, taps: int, exponent: int, offset: float, dead: float, seed: int) -> None:
    wide = normal(seed, count, taps) + offset
    wide[np.random.default_rng(seed).random(count) < dead] *= 1e-3
    kernels = (wide * 10.0**exponent).astype(np.float32)
    limit = float(np.abs(kernels).max() / np.float32(100))
    found = layer_sums(torch.from_numpy(kernels), limit)
    assert found is not None
    exact = kernels.astype(np.float64)
    scale = 10.0**exponent * (1 + offset)
    assert (found.n, found.n_dead) == (count, int((np.abs(kernels) < np.float32(limit)).all(1).sum()))
    assert found.norm_l1 == pytest.approx(np.abs(exact).sum(), rel=1e-12)
    assert found.cubes == pytest.approx((exact**3).sum(), abs=1e-9 * np.abs(exact**3).sum())
    assert found.fourths == pytest.approx((exact**4).sum(), rel=1e-9)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-9, atol=1e-12 * scale)
    centred = exact - exact.mean(0)
    want = centred.T @ centred
    np.testing.assert_allclose(found.scatter, want, rtol=1e-9, atol=1e-9 * np.trace(want) + 1e-24 * scale**2)
    assert (found.scatter == found.scatter.T).all()


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([(3, 3), (1, 1), (7,), (5, 5), (7, 7), (2, 2, 2), (1, 3)]),
    filters=st.sampled_from([64, 4096, 5000]),
    exponent=st.integers(-20, 20),
    lame=st.sampled_from([0, 1, 5]),
    what=st.sampled_from([np.nan, np.inf, -np.inf]),
    cuts=st.lists(st.integers(0, 64), max_size=3).map(tuple),
    seed=st.integers(0, 2**32 - 1),
)
def test_layers_are_the_same_by_machine_code_and_by_passes(
    size: tuple[int, ...],
    filters: int,
    exponent: int,
    lame: int,
    what: float,
    cuts: tuple[int, ...],
    seed: int,
) -> None:
    """Ordinary and depthwise, whole and in parts of which some are empty, with and without NaN and infinities."""
    weight = (normal(seed, filters, 64 if filters == 64 else 1, *size) * 10.0**exponent).astype(np.float32)
    weight[::7] *= np.float32(1e-4)
    flat = weight.reshape(-1)
    flat[np.random.default_rng(seed).integers(0, flat.size, lame)] = what
    assert should_compile(summary(weight), CPU)
    same(moments(weight, cuts), by_passes(weight, cuts))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-40])
def test_equal_kernels_have_no_variance(value: float) -> None:
    weight = np.full((70, 70, 3, 3), value, np.float32)
    found = moments(weight)
    same(found, by_passes(weight))
    assert found.covariance is not None
    assert not found.covariance.scatter.any()
    assert found.n_dead == (0 if value else 4900)


def test_scaling_rounds_every_magnitude_as_float16_does() -> None:
    """All finite float16, both signs, halfway points between them, and kernels beyond their range."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1] + halves[1:]) / 2
    every = np.concatenate([halves, between, np.nextafter(between, np.float32(0)), np.float32([7e4, 1e30, 3e38])])
    order = np.random.default_rng(0).permutation(np.concatenate([every, -every]))
    kernels = order[: len(order) // 9 * 9].reshape(-1, 9)
    basis = BinnedBasis(rows=np.eye(9), low=-1 - 2.0**-12, high=1 + 2.0**-12, bins=2**12 + 1)  # centered on quotients
    for exponent in (0, -10, -24):
        part = (kernels * np.float32(2.0**exponent)).astype(np.float32)
        found = layer_sums(torch.from_numpy(part), 0.0, basis)
        assert found is not None
        assert found.scaled is not None
        columns = [scale_kernels(*finite_columns(chunk)) for chunk in column_chunks(torch.from_numpy(part))]
        scaled = torch.cat(columns, 1).double()
        want = bin_counts(scaled.clone(), basis.low, basis.high, basis.bins).reshape(9, -1)
        assert np.array_equal(found.scaled.histogram, want.numpy().ravel())
        np.testing.assert_allclose(found.scaled.mean, scaled.mean(1).numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("taps", [1, 2, 3, 9, 10])
@pytest.mark.parametrize("symmetry", [-1, 0, 1])
def test_components_of_any_symmetry(taps: int, symmetry: int) -> None:
    rows = normal(taps, taps, taps)
    rows = rows + symmetry * rows[:, ::-1]
    kernels = (np.random.default_rng(0).integers(-2048, 2049, (700, taps)) / 2048).astype(np.float32)
    kernels[:, 0] = 1  # scaled already
    found = layer_sums(torch.from_numpy(kernels), 0.0, BinnedBasis(rows=rows, low=-2.5, high=3.0, bins=11))
    assert found is not None
    assert found.scaled is not None
    bins = np.clip(np.floor((kernels.astype(np.float64) @ rows.T + 2.5) * 2), 0, 10).astype(int)
    want = np.stack([np.bincount(component, minlength=11) for component in bins.T])
    assert np.array_equal(found.scaled.histogram.reshape(taps, 11), want)


def test_nothing_but_nan() -> None:
    weight = np.full((64, 64, 3, 3), np.nan, np.float32)
    same(moments(weight), by_passes(weight))
    assert moments(weight).n == 0


def test_dead_is_strictly_below_the_threshold() -> None:
    edge = np.float32(1) / np.float32(100)
    kernels = np.repeat(np.array([1, edge, np.nextafter(edge, np.float32(0))], np.float32), 9).reshape(3, 9)
    found = layer_sums(torch.from_numpy(kernels), float(edge))
    assert found is not None
    assert found.n_dead == 1


def test_rows_of_any_strides() -> None:
    kernels = torch.from_numpy(normal(1, 9, 600).astype(np.float32)).T
    found, want = layer_sums(kernels, 0.5), layer_sums(kernels.contiguous(), 0.5)
    assert found is not None
    assert want is not None
    assert np.array_equal(found.scatter, want.scatter)


def test_it_is_for_layers_of_many_small_kernels_in_memory() -> None:
    def layer(kernels: int, taps: int) -> LayerSummary:
        return LayerSummary(shape=(kernels, 1, taps), n_kernels=kernels, taps=taps, max_abs=1.0)

    assert should_compile(layer(MIN_KERNELS, 49), CPU)
    assert not should_compile(layer(MIN_KERNELS - 1, 49), CPU)
    assert not should_compile(layer(MIN_KERNELS, 50), CPU)
    assert not should_compile(layer(MIN_KERNELS, 9), torch.device("meta"))


def test_without_a_folder_to_keep_it_in_it_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def nowhere(*args: Any, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    kernels = torch.from_numpy(normal(2, 300, 9).astype(np.float32))
    want = layer_sums(kernels, 0.5)
    monkeypatch.setattr(numba, "njit", nowhere)
    monkeypatch.delitem(sys.modules, "filtercrawl_analysis.layer_stats.numba_loops")  # imported once more
    found = layer_sums(kernels, 0.5)
    assert found is not None
    assert want is not None
    assert np.array_equal(found.scatter, want.scatter)


SCRIPT = """
import sys
if {blocked}:
    sys.modules["numba"] = None  # as if it were not installed
import numpy as np, torch
from filtercrawl.api.measure import LayerSummary
from filtercrawl_analysis.layer_stats.quality import Quality
for filters in (8, 128):
    weight = np.random.default_rng(0).standard_normal((filters, 64, 3, 3)).astype(np.float32)
    top = float(np.abs(weight).max())
    layer = Quality().start(LayerSummary(shape=weight.shape, n_kernels=filters * 64, taps=9, max_abs=top))
    layer.update(torch.from_numpy(weight))
    columns = layer.finish()
    print(bool(sys.modules.get("numba")), columns["n_dead"], *(columns[n] for n in ("norm_l1", "variance_entropy")))
"""


def test_numba_is_imported_for_a_large_layer_only_and_done_without_where_it_is_not_installed() -> None:
    def run(blocked: bool) -> list[list[str]]:
        command = [sys.executable, "-c", SCRIPT.format(blocked=blocked)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [line.split() for line in out.splitlines()]

    small, large = run(False)
    assert (small[0], large[0]) == ("False", "True")
    without = run(True)
    assert [line[0] for line in without] == ["False", "False"]
    assert without[0][1:] == small[1:]
    assert [float(x) for x in without[1][1:]] == pytest.approx([float(x) for x in large[1:]], rel=1e-12)
