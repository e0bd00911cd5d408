"""Which layers are measured together."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.stored_rows import stored_form
from filtercrawl.pipeline.crawling.batch_plan import BatchPlan, numbers_per_batch, plan_batches


def layers(shapes: list[tuple[int, ...]], dtypes: list[str]) -> tuple[Layer, ...]:
    tensors = []
    for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=False)):
        file = MemoryFile(bytes(math.prod(shape) * ITEMSIZE[dtype]))
        location = TensorLocation(file=file, offset=0, dtype=dtype, shape=shape)
        tensors.append(StoredTensor(name=f"{i}.weight", key=f"{i}.weight", shape=shape, dtype=dtype, location=location))
    return classify_tensors(tensors, "all").layers


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 40), st.integers(1, 20), st.sampled_from([2, 3]), st.sampled_from([3, 9])),
        min_size=1,
        max_size=12,
    ),
    dtypes=st.lists(st.sampled_from(["float32", "float16"]), min_size=12, max_size=12),
    max_numbers=st.sampled_from([100, 4000, 2**24]),
)
def test_what_holds_of_every_plan(shapes: list[tuple[int, ...]], dtypes: list[str], max_numbers: int) -> None:
    given_layers = layers(shapes, dtypes)
    assert len(given_layers) == len(shapes)
    units = list(plan_batches(given_layers, max_numbers, lambda taps: taps <= 20))
    planned = [layer for unit in units for layer in (unit.layers if isinstance(unit, BatchPlan) else (unit,))]
    assert planned == list(given_layers)
    for unit in units:
        if not isinstance(unit, BatchPlan):
            assert unit.taps > 20 or unit.n_kernels * unit.taps > max_numbers
            continue
        assert {layer.kernel_size for layer in unit.layers} == {unit.layers[0].kernel_size}
        assert {stored_form(layer) for layer in unit.layers} == {unit.form}
        assert sum(layer.n_kernels * layer.taps for layer in unit.layers) <= max_numbers
        assert all(first % unit.block == 0 for first in (*unit.first_rows, unit.rows))
        ends = np.array(unit.first_rows) + [layer.n_kernels for layer in unit.layers]
        assert (ends <= [*unit.first_rows[1:], unit.rows - 1]).all()  # the last row is no kernel


def test_equal_layers_are_one_batch_until_it_is_full() -> None:
    units = list(plan_batches(layers([(64, 64, 3, 3)] * 10, ["float32"] * 10), 6 * 64 * 64 * 9, lambda _: True))
    assert [len(unit.layers) for unit in units if isinstance(unit, BatchPlan)] == [6, 4]


def test_filters_of_very_different_sizes_are_measured_apart() -> None:
    shapes = [(16, 3, 3, 3)] * 40 + [(512, 512, 3, 3)]
    units = list(plan_batches(layers(shapes, ["float32"] * 41), 2**24, lambda _: True))
    assert [len(unit.layers) for unit in units if isinstance(unit, BatchPlan)] == [40, 1]


def test_blocks_are_large_for_large_layers_and_small_for_small_ones() -> None:
    (large,) = plan_batches(layers([(256, 256, 3, 3)], ["float32"]), 2**24, lambda _: True)
    (small,) = plan_batches(layers([(8, 1, 3, 3)] * 9, ["float32"] * 9), 2**24, lambda _: True)
    assert isinstance(large, BatchPlan)
    assert isinstance(small, BatchPlan)
    assert large.block >= 1024
    assert small.block == 8


def test_the_cpu_has_room_for_the_largest_batch() -> None:
    assert numbers_per_batch(torch.device("cpu")) == 2**24
