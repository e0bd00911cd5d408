"""Batches of layers on an accelerator: kernels a second, share of the memory bandwidth, time by stage.

    python benchmarks/device.py [--device auto] [--layers 24] [--channels 512]

On a CPU it prints how many operators a batch takes, which is the same number on every device. The layers are random, of
3x3 kernels. The bandwidth is that of a copy of 1 GiB on the device, measured in the same run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.config.device import select_device
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.pipeline.crawling.batch_plan import BatchPlan, numbers_per_batch, plan_batches
from filtercrawl.pipeline.crawling.device_batches import DeviceBatches
from filtercrawl_analysis.layer_stats.quality import Quality

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests")]

from support.operator_calls import OperatorCalls  # noqa: E402

COPY_BYTES = 2**30
ROUNDS = 5


def random_layers(n_layers: int, channels: int) -> tuple[Layer, ...]:
    random = np.random.default_rng(0)
    tensors = []
    for i in range(n_layers):
        shape, name = (channels, channels, 3, 3), f"{i}.weight"
        weight = random.standard_normal(shape, np.float32)
        location = TensorLocation(file=MemoryFile(weight.tobytes()), offset=0, dtype="float32", shape=shape)
        tensors.append(StoredTensor(name=name, key=name, shape=shape, dtype="float32", location=location))
    return classify_tensors(tensors).layers


def count_operators(plan: BatchPlan, batches: DeviceBatches) -> None:
    for _ in range(2):  # each of two buffers grows to what a batch needs
        batches.start(plan).wait()
    with OperatorCalls() as calls:
        batches.start(plan).wait()
    print(f"operators of a batch of {len(plan.layers)} layers: {len(calls.names)}")
    for name, count in Counter(calls.names).most_common():
        print(f"  {count:3} {name}")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of several rounds, with everything on the device done."""
    times = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def copy_bandwidth(device: torch.device) -> float:
    """Return bytes a second that a copy on the device reads and writes."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / seconds(lambda: target.copy_(source), device)


def measure_stages(plans: Sequence[BatchPlan], batches: DeviceBatches) -> None:
    """Print the times of reading, of the device, and of the host after the one wait."""
    device = batches.device
    spent: Counter[str] = Counter()
    for number in range(ROUNDS + 1):
        for plan in plans:
            before = time.perf_counter()
            running = batches.start(plan)
            started = time.perf_counter()
            torch.cuda.synchronize(device)
            done = time.perf_counter()
            running.wait()
            end = time.perf_counter()
            if number:  # the first round compiles and allocates
                stages = {
                    "read and start": started - before,
                    "device": done - started,
                    "finish on the host": end - done,
                }
                spent.update({name: value / ROUNDS for name, value in stages.items()})  # type: ignore[arg-type]
    kernels = sum(layer.n_kernels for plan in plans for layer in plan.layers)
    total = sum(spent.values())
    for name, value in spent.items():
        print(f"{name}: {1000 * value:.2f} ms, {100 * value / total:.0f} %")
    rates = [kernels / one / 1e6 for one in (total, spent["device"])]
    print(f"million kernels a second: {rates[0]:.1f}; of the device alone {rates[1]:.1f}")
    bandwidth = copy_bandwidth(device)
    weights = 4 * sum(layer.n_kernels * layer.taps for plan in plans for layer in plan.layers)
    print(f"bandwidth of a copy: {bandwidth / 1e9:.0f} GB/s; reading the weights once at that rate takes "
          f"{100 * weights / bandwidth / spent['device']:.1f} % of the time of the device")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--channels", type=int, default=512)
    arguments = parser.parse_args()
    device = select_device(arguments.device)
    on_gpu = device.type == "cuda"
    batches = DeviceBatches(device if on_gpu else torch.device("cpu"), (Quality(),))
    layers = random_layers(arguments.layers, arguments.channels)
    units = plan_batches(layers, numbers_per_batch(batches.device), batches.supports_taps)
    plans = [unit for unit in units if isinstance(unit, BatchPlan)]
    print(f"{len(layers)} layers in {len(plans)} batches on {batches.device}")
    count_operators(plans[0], batches)
    if on_gpu:
        measure_stages(plans, batches)
    else:
        print("no CUDA device: times are not measured")


if __name__ == "__main__":
    main()
