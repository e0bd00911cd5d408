"""What one more checkpoint costs, by how many the dataset has: time and memory of a first sync, the next, an idle one.

`python benchmarks/growth.py 1000 10000` makes that many tiny checkpoints, of two layers each, in a folder and syncs it;
then one more checkpoint; then nothing. Each run is a process of its own, whose time and memory the system counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

FOLDER_FILES = 500


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        processor_s: Seconds of all cores, the system's among them.
        wall_s: Seconds on the clock.
        memory_mb: The most memory that was resident.
        written: Files of the dataset that are new or have another time of change.
    """

    processor_s: float
    wall_s: float
    memory_mb: float
    written: int


def write_checkpoint(zoo: Path, number: int) -> None:
    """Write two small convolutions, whose numbers follow from the number of the checkpoint."""
    folder = zoo / f"{number // FOLDER_FILES:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(number)
    shapes = {"conv1.weight": (4, 3, 3, 3), "conv2.weight": (8, 4, 3, 3)}
    tensors = {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / f"net{number:06d}.safetensors")


def run(zoo: Path, dataset: Path) -> Cost:
    """Sync a folder in a process of its own."""
    before = times(dataset)
    used, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "filtercrawl", "sync", f"local:{zoo}", "--dataset", str(dataset), "--json"]
    with tempfile.TemporaryFile() as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        processor_s=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        wall_s=time.monotonic() - started,
        memory_mb=usage.ru_maxrss / 1024,
        written=sum(before.get(path) != changed for path, changed in times(dataset).items()),
    )


def times(dataset: Path) -> dict[Path, int]:
    """When each published file was last changed, but for the layers."""
    files = (path for path in dataset.rglob("*") if path.is_file() and "layers" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files if ".filtercrawl" not in path.parts}


def measure(number: int, scratch: Path) -> Iterator[tuple[str, Cost]]:
    zoo, dataset = scratch / f"zoo{number}", scratch / f"dataset{number}"
    for checkpoint in range(number):
        write_checkpoint(zoo, checkpoint)
    yield "first", run(zoo, dataset)
    for more in range(2):
        write_checkpoint(zoo, number + more)
        yield "one more", run(zoo, dataset)
    yield "idle", run(zoo, dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("numbers", nargs="*", type=int, default=[1_000], help="numbers of checkpoints")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the checkpoints and the datasets")
    arguments = parser.parse_args()
    print("| checkpoints | run | processor s | wall s | memory MB | files written |\n|---:|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="filtercrawl-growth-") as temporary:
        for number in arguments.numbers:
            for name, cost in measure(number, arguments.keep or Path(temporary)):
                figures = f"{cost.processor_s:.1f} | {cost.wall_s:.1f} | {cost.memory_mb:.0f} | {cost.written}"
                print(f"| {number:,} | {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
