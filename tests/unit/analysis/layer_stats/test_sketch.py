"""Sketches against numpy in float64, and merged ones against the sketch of everything at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from filtercrawl.dataset.schema.arrow import SKETCHES
from filtercrawl_analysis.layer_stats.quality import Quality
from filtercrawl_analysis.numerics.dct_basis import dct_basis, radial_bins
from filtercrawl_analysis.numerics.merge import Sketches, merge_sketches, unpack_symmetric
from filtercrawl_analysis.numerics.scaling import column_chunks, finite_columns, scale_kernels
from support.sketch_reference import Weight, dct, packed, paper_scaled, sketched, summary


def random(seed: int, *shape: int, scale: float = 1.0) -> Weight:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def ours(kernels: Weight) -> NDArray[np.float16]:
    parts = [scale_kernels(*finite_columns(chunk)).T.numpy() for chunk in column_chunks(torch.from_numpy(kernels))]
    return np.concatenate(parts)


def close(got: Any, want: Any, scale: float = 0.0) -> None:
    """To 1e-9 of the value, or of the scale of what it is a part of."""
    np.testing.assert_allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=1e-9, atol=1e-9 * scale)


# The paper's order of float16.


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 9)),
        elements=st.floats(-65519, 65519, width=32) | st.floats(-(2.0**-13), 2.0**-13, width=32),
    )
)
def test_scaling_is_numpys_float16_bit_for_bit(kernels: Weight) -> None:
    want = paper_scaled(kernels).astype(np.float16)
    assert np.array_equal(ours(kernels) + np.float16(0), want + np.float16(0))  # -0 is 0


def test_scaling_of_every_quotient_of_many_magnitudes() -> None:
    every = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)  # all finite from 0 up
    generator = np.random.default_rng(0)
    kernels = np.stack([generator.permutation(every) for _ in range(9)], axis=1)
    assert np.array_equal(ours(kernels).astype(np.float64), paper_scaled(kernels))


def test_kernels_beyond_float16_are_scaled_and_not_lost() -> None:
    kernels = random(0, 47, 9) * np.float32(10.0) ** np.arange(-10, 37).astype(np.float32)[:, None]
    found = ours(kernels).astype(np.float64)
    assert np.isfinite(found).all()
    big = np.abs(kernels).max(1) >= 65520
    assert big.any()
    assert np.abs(found[big] - kernels[big] / np.abs(kernels[big]).max(1, keepdims=True)).max() < 1e-3
    assert np.array_equal(found[~big], paper_scaled(kernels[~big]))


# One layer.


@pytest.mark.parametrize(
    "shape",
    [
        (64, 32, 3, 3),
        (16, 1, 7, 7),
        (8, 30, 5),
        (6, 5, 3, 3, 3),
        (9, 2, 1, 1),
        (3, 2, 2, 4),
        (120, 100, 3, 3),
        (20, 3, 8, 8),
        (3, 2, 31, 31),
        (4, 2, 33, 32),
    ],
)
def test_agrees_with_numpy(shape: tuple[int, ...]) -> None:
    weight = random(1, *shape)
    weight[1, 0] *= 0.001
    weight[2, 1 % shape[1]] = 0
    agree(sketched(weight), weight)


def agree(found: dict[str, Any], weight: Weight) -> None:
    taps, size = math.prod(weight.shape[2:]), weight.shape[2:]
    flat = weight.reshape(-1, taps)
    wide = weight.astype(np.float64).ravel()
    peak = np.abs(weight).max()
    assert set(found) == set(SKETCHES.names) - {"layer_sha256"}
    assert found["kernel"] == "x".join(map(str, size))
    assert (found["taps"], found["n_kernels"], found["n_finite"]) == (taps, len(flat), len(flat))
    assert found["n_dead"] == (np.abs(flat) < peak / np.float32(100)).all(1).sum()
    assert found["n_zero"] == (flat == 0).all(1).sum()
    assert found["max_abs"] == peak
    close(found["norm_l1"], np.abs(wide).sum())
    for power, value in enumerate(found["power_sums"]):
        close(value, (wide**power).sum(), float((np.abs(wide) ** power).sum()))
    energy = ((flat.astype(np.float64) @ transform_of(size).T) ** 2).sum(0)
    close(found["radial_energy"], np.bincount(radial_bins(size).ravel(), energy), float((wide**2).sum()))
    if taps > 49:
        assert all(found[name] is None for name in ("raw_mean", "raw_scatter", "scaled_mean", "scaled_scatter"))
        assert found["histogram"] is None
        return
    small = paper_scaled(flat)
    for name, data in (("raw", flat.astype(np.float64)), ("scaled", small)):
        close(found[f"{name}_mean"], data.mean(0), float(np.abs(data).max()))
        close(found[f"{name}_scatter"], packed(data), float(((data - data.mean(0)) ** 2).sum()))
    bound = math.sqrt(taps)
    width = 2 * bound / 70
    counts = np.array(found["histogram"]).reshape(taps, 70)
    assert (counts.sum(1) == len(flat)).all()
    # A coefficient on an edge may lie on either side: as many as lie within rounding of one are let pass.
    for row, coefficients in zip(counts, (small @ dct_basis(tuple(size)).T).T, strict=True):
        want = np.histogram(coefficients, 70, (-bound - width * 2.0**-24, bound - width * 2.0**-24))[0]
        assert abs(row - want).sum() <= 2 * (np.abs(coefficients) > bound - 1e-6).sum()


def transform_of(size: tuple[int, ...]) -> NDArray[np.float64]:
    one = [dct((k,)) for k in size]
    whole = np.ones((1, 1))
    for axis in one:
        whole = np.kron(whole, axis)
    return whole


def test_coefficients_of_zero_lie_in_one_bin() -> None:
    """A constant kernel has only a mean: rounding must not scatter the rest over two bins."""
    weight = np.repeat(random(2, 500, 1, 1), 9).reshape(500, 1, 3, 3)
    counts = np.array(sketched(weight)["histogram"]).reshape(9, 70)
    assert (counts[1:, 35] == 500).all()
    assert counts[0, [0, 69]].sum() == 500


def test_parts_give_what_the_whole_gives() -> None:
    weight = random(3, 120, 100, 3, 3, scale=0.01)
    whole, parts = sketched(weight), sketched(weight, (1, 83, 84))
    for name in ("n_dead", "n_zero", "n_finite", "histogram"):
        assert parts[name] == whole[name]
    close(parts["raw_scatter"], whole["raw_scatter"], 0.0001 * 120 * 100)
    close(parts["scaled_scatter"], whole["scaled_scatter"], 120 * 100)


def test_entropy_from_the_sketch_at_a_thousand_standard_deviations() -> None:
    """The pivot: what the sketch holds gives the entropy of the float64 SVD to 1e-6."""
    spread = np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    weight = random(4, 64, 200, 3, 3) * spread + np.float32(5000)
    flat = weight.reshape(-1, 9).astype(np.float64)
    want = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    want /= want.sum()
    found = np.linalg.eigvalsh(unpack_symmetric(np.array(sketched(weight)["raw_scatter"])))
    found /= found.sum()
    assert abs((want * np.log10(want)).sum() - (found * np.log10(found)).sum()) < 1e-9


def test_layers_without_kernels_that_count() -> None:
    nothing = sketched(np.full((3, 2, 3, 3), np.nan, np.float32))
    assert (nothing["n_kernels"], nothing["n_finite"], nothing["n_dead"]) == (6, 0, 0)
    assert nothing["power_sums"] == [0] * 5
    assert set(nothing["histogram"]) == set(nothing["raw_scatter"]) == {0}
    zeros = sketched(np.zeros((3, 2, 3, 3), np.float32))
    assert (zeros["n_finite"], zeros["n_dead"], zeros["n_zero"], zeros["max_abs"]) == (6, 6, 6, 0)
    assert set(zeros["scaled_scatter"]) == {0}


def test_kernels_with_nan_are_left_out_and_their_other_weights_counted() -> None:
    weight = random(5, 8, 4, 3, 3)
    weight[2, 1, 0, 0], weight[5, 3, 1, 1] = np.nan, -np.inf
    found = sketched(weight, (3, 6))
    flat = weight.reshape(-1, 9)
    kept = flat[np.isfinite(flat).all(1)]
    want = sketched(kept.reshape(-1, 1, 3, 3))
    assert (found["n_kernels"], found["n_finite"]) == (32, 30)
    assert found["histogram"] == want["histogram"]
    close(found["raw_scatter"], want["raw_scatter"], 1)
    close(found["radial_energy"], want["radial_energy"], 1)
    rest = weight[np.isfinite(weight)].astype(np.float64)
    close(found["power_sums"], [len(rest), *((rest**k).sum() for k in (1, 2, 3, 4))], 1)


def test_quality_and_sketch_come_from_one_look() -> None:
    weight = random(6, 20, 10, 3, 3)
    weight[3] = 0
    layer = Quality().start(summary(weight))
    layer.update(torch.from_numpy(weight))
    columns, sketch = layer.finish(), layer.sketch()
    assert sketch == sketched(weight)
    assert columns["n_dead"] == sketch["n_dead"]
    assert columns["norm_l2"] == math.sqrt(sketch["power_sums"][2])


# Many layers.


def table(weights: list[Weight], cuts: tuple[int, ...] = ()) -> pa.Table:
    rows = [{"layer_sha256": str(i), **sketched(weight, cuts)} for i, weight in enumerate(weights)]
    return pa.Table.from_pylist(rows, schema=SKETCHES)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    size=st.sampled_from([(3, 3), (1, 5), (7,), (2, 2, 2), (8, 8)]),
    offset=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_merged_sketches_are_the_sketch_of_all(
    counts: list[int], size: tuple[int, ...], offset: float, seed: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(seed)
    layers = [
        (generator.standard_normal((n, 1, *size)) * generator.uniform(0.1, 3) + offset).astype(np.float32)
        for n in counts
    ]
    order = data.draw(st.permutations(range(len(layers))))
    groups = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(layers), max_size=len(layers))))
    rows = table([layers[i] for i in order])
    taps = math.prod(size)
    partly = merge_sketches(Sketches.from_table(rows), groups, 3)
    whole = [merge_sketches(partly), merge_sketches(Sketches.from_table(rows))]
    want = Sketches.from_table(table([np.concatenate(layers)]))
    for found in whole:
        assert len(found) == 1
        for name in ("n_kernels", "n_finite", "n_zero", "max_abs"):
            assert getattr(found, name) == getattr(want, name)
        close(found.power_sums, want.power_sums, float(want.power_sums[0, -1]))
        close(found.radial_energy, want.radial_energy, float(want.radial_energy.sum()))
        if taps > 49:
            assert found.raw_scatter is found.histogram is want.histogram is None
            continue
        assert found.raw_mean is not None
        assert found.raw_scatter is not None
        assert found.scaled_scatter is not None
        assert want.raw_scatter is not None
        assert want.scaled_scatter is not None
        assert np.array_equal(found.histogram, want.histogram)
        close(found.raw_mean, want.raw_mean, 1)
        close(
            found.raw_scatter,
            want.raw_scatter,
            float(unpack_symmetric(want.raw_scatter).trace(axis1=1, axis2=2)[0]) + 1,
        )
        close(found.scaled_mean, want.scaled_mean, 1)
        close(found.scaled_scatter, want.scaled_scatter, sum(counts))


def test_groups_may_be_empty_and_rows_left_out() -> None:
    rows = Sketches.from_table(table([random(7, 4, 1, 3, 3), random(8, 5, 1, 3, 3), random(9, 6, 1, 3, 3)]))
    found = merge_sketches(rows, np.array([2, -1, 2]), 4)
    assert found.n_finite.tolist() == [0, 0, 10, 0]
    assert found.raw_mean is not None
    assert (found.raw_mean[[0, 1, 3]] == 0).all()
    both = merge_sketches(rows.take(np.array([0, 2])))
    for name in ("histogram", "raw_scatter", "raw_mean", "max_abs"):
        close(getattr(found, name)[2], getattr(both, name)[0])


def test_dead_kernels_stay_those_of_their_layers() -> None:
    small = random(10, 5, 1, 3, 3, scale=1e-6)
    rows = Sketches.from_table(table([small, random(11, 5, 1, 3, 3)]))
    assert merge_sketches(rows).n_dead.tolist() == [0]


def test_other_kernel_sizes_do_not_merge() -> None:
    with pytest.raises(ValueError, match="several kernel sizes"):
        Sketches.from_table(table([random(12, 4, 1, 3, 3), random(13, 4, 1, 1, 9)]))
    with pytest.raises(ValueError, match="groups of shape"):
        merge_sketches(Sketches.from_table(table([random(14, 4, 1, 3, 3)])), np.zeros(2, np.int64))
