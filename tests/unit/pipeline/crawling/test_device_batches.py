"""Layers staged in batches, as on an accelerator, against layers staged one by one."""

from __future__ import annotations

import hashlib
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.api.convolution import Convolution
from filtercrawl.api.measure import Accumulator, LayerSummary, Measure
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import Quantization, StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.pipeline.crawling.batch_plan import BatchPlan, plan_batches
from filtercrawl.pipeline.crawling.device_batches import DeviceBatches, HostBuffer
from filtercrawl.pipeline.crawling.stage_layers import LayerStager
from filtercrawl_analysis.layer_stats.quality import Quality
from support.operator_calls import WAITING, OperatorCalls

CPU = torch.device("cpu")


def tensor(name: str, weight: np.ndarray, **proven: object) -> StoredTensor:
    dtype = str(weight.dtype)
    location = TensorLocation(file=MemoryFile(weight.tobytes()), offset=0, dtype=dtype, shape=weight.shape)
    known = {"name": name, "key": name, "shape": weight.shape, "dtype": dtype, "location": location}
    return StoredTensor(**known, **proven)  # type: ignore[arg-type]


def network() -> tuple[Layer, ...]:
    """Layers of several kernel sizes and types, large and small, of zeros, with NaN, transposed and quantized."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype("f4")

    broken = normal(6, 5, 3, 3)
    broken[1, 2, 0, 0], broken[3, 3] = np.nan, np.inf
    transposed = Convolution(op="conv_transpose2d", groups=2, source="module")
    codes = random.integers(0, 255, (12, 4, 3, 3)).astype("u1")
    quantization = Quantization(scale=tuple(random.random(12).tolist()), zero_point=(128,), axis=0)
    tensors = [
        *(tensor(f"{i}.weight", normal(16, 8 + i, 3, 3)) for i in range(20)),
        tensor("half.weight", normal(9, 8, 3, 3).astype("f2")),
        tensor("double.weight", normal(9, 8, 3, 3).astype("f8")),
        tensor("depthwise.weight", normal(40, 1, 3, 3)),
        tensor("one.weight", normal(1, 1, 3, 3)),
        tensor("zeros.weight", np.zeros((4, 4, 3, 3), "f4")),
        tensor("broken.weight", broken),
        tensor("huge.weight", normal(4, 4, 3, 3) * np.float32(1e33)),
        tensor("tiny.weight", normal(4, 4, 3, 3) * np.float32(1e-38)),
        tensor("large_kernel.weight", normal(3, 2, 11, 11)),
        tensor("five.weight", normal(70, 3, 5, 5)),
        tensor("cube.weight", normal(5, 3, 3, 3, 3)),
        tensor("transposed.weight", normal(6, 5, 3, 3), convolution=transposed),
        tensor("codes.weight", codes, quantization=quantization),
        tensor("transposed_codes.weight", codes, quantization=quantization, convolution=transposed),
    ]
    return classify_tensors(tensors).layers


def staged(folder: Path, *, in_batches: bool, measures: tuple[Measure, ...] = (Quality(),)) -> StagedLayers:
    stager = LayerStager(staging=folder, device=CPU, measures=measures, in_batches=in_batches)
    return stager.write("lab/net", "lab", network())


def test_files_and_rows_are_those_of_single_layers(tmp_path: Path) -> None:
    single, batched = (staged(tmp_path / str(flag), in_batches=flag) for flag in (False, True))
    assert (batched.sha256, batched.path, batched.size) == (single.sha256, single.path, single.size)
    for got, want in zip(batched.rows, single.rows, strict=True):
        for field in fields(want):
            value = getattr(want, field.name)
            expected = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert getattr(got, field.name) == expected, (want.layer, field.name)
    for (got_hash, got_samples), (want_hash, want_samples) in zip(batched.samples, single.samples, strict=True):
        assert got_hash == want_hash
        assert got_samples.to_bytes() == want_samples.to_bytes()
    assert [sketch["layer_sha256"] for sketch in batched.sketches] == [s["layer_sha256"] for s in single.sketches]
    for got_sketch, want_sketch in zip(batched.sketches, single.sketches, strict=True):
        assert got_sketch["histogram"] == want_sketch["histogram"]


class SumOfWeights:
    """A measure that knows no batches."""

    name = "sums"
    columns = ("norm_l1",)

    def start(self, layer: LayerSummary) -> Accumulator:
        return _Sum()


class _Sum:
    def __init__(self) -> None:
        self.total = 0.0

    def update(self, weight: torch.Tensor) -> None:
        self.total += float(weight.nan_to_num().abs().double().sum())

    def finish(self) -> dict[str, float | int | None]:
        return {"norm_l1": self.total}


def test_measures_without_batches_get_each_layer(tmp_path: Path) -> None:
    measures = (Quality(), SumOfWeights())
    single, batched = (staged(tmp_path / str(flag), in_batches=flag, measures=measures) for flag in (False, True))
    assert [row.norm_l1 for row in batched.rows] == [row.norm_l1 for row in single.rows]
    assert batched.sha256 == single.sha256


def test_without_any_measure_there_are_no_batches(tmp_path: Path) -> None:
    single, batched = (staged(tmp_path / str(flag), in_batches=flag, measures=()) for flag in (False, True))
    assert (batched.sha256, batched.rows) == (single.sha256, single.rows)


def equal_layers(n: int, dtype: str, **proven: object) -> tuple[Layer, ...]:
    random = np.random.default_rng(1)
    weights = [(random.normal(size=(16, 8, 3, 3)) * 30).astype(dtype) for _ in range(n)]
    return classify_tensors([tensor(f"{i}.weight", weight, **proven) for i, weight in enumerate(weights)]).layers


@pytest.mark.parametrize("n_layers", [1, 60])
@pytest.mark.parametrize("form", ["float32", "float16", "transposed", "transposed codes"])
def test_a_batch_takes_at_most_40_operators_and_waits_once(n_layers: int, form: str) -> None:
    facts: dict[str, object] = {}
    if "transposed" in form:
        facts["convolution"] = Convolution(op="conv_transpose2d", groups=2, source="module")
    if "codes" in form:
        facts["quantization"] = Quantization(scale=(0.1,) * 16, zero_point=(3,) * 16, axis=0)
    dtype = "int8" if "codes" in form else "float16" if form == "float16" else "float32"
    batches = DeviceBatches(CPU, (Quality(),))
    layers = equal_layers(n_layers, dtype, **facts)
    (plan,) = plan_batches(layers, 2**24, batches.supports_taps)
    assert isinstance(plan, BatchPlan)
    batches.start(plan).wait()  # host memory is allocated with the first batches
    batches.start(plan).wait()
    with OperatorCalls() as calls:
        running = batches.start(plan)
    started = list(calls.names)
    assert not WAITING & set(started)
    with OperatorCalls() as calls:
        finished = running.wait()  # the only place where the host waits for the device
        weights = [finished.weight(i) for i in range(n_layers)]
        assert all(len(finished.measures(i)) == 1 for i in range(n_layers))
    assert len(started) + len(calls.names) <= 40
    assert not WAITING & set(calls.names)
    assert [weight.shape for weight in weights] == [layer.shape for layer in layers]


def test_a_batch_is_intact_while_the_next_one_is_read() -> None:
    layers = equal_layers(4, "float32")
    batches = DeviceBatches(CPU, (Quality(),))
    plans = [plan for layer in layers for plan in plan_batches((layer,), 2**24, batches.supports_taps)]
    running = None
    digests = []
    for plan in (*plans, None):
        started = batches.start(plan) if isinstance(plan, BatchPlan) else None
        if running is not None:
            digests.append(hashlib.sha256(running.wait().weight(0).tobytes()).hexdigest())
        running = started
    assert digests == [
        hashlib.sha256(layer.tensor.location.read(tuple((0, n) for n in layer.shape)).tobytes()).hexdigest()
        for layer in layers
        if layer.tensor.location is not None
    ]


def test_arrays_of_a_host_buffer_do_not_overlap() -> None:
    buffer = HostBuffer(CPU)
    for _ in range(3):
        taken = [buffer.take(shape, dtype) for shape, dtype in (((3, 5), "i1"), ((1000,), "f8"), ((7, 9), "f4"))]
        for number, array in enumerate(taken):
            array[...] = number
        assert [set(array.reshape(-1).tolist()) for array in taken] == [{0}, {1}, {2}]
        assert [math.prod(array.shape) for array in taken] == [15, 1000, 63]
        buffer.clear(100)
