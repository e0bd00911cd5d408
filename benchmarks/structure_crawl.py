"""Measure how much faster two worker processes crawl the structure of networks than one.

python benchmarks/structure_crawl.py [NETWORKS]    200 by default

Networks are architectures of timm, at equal distances in the list of all. Each is a file with its first convolution
alone, so that a crawl builds and traces the network and has next to no weights to read. Prints, for each number of
jobs, seconds, and the CPU seconds of the process of the run, without imports, and of its workers. Wants a machine on
which nothing else runs: other work takes the second core.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import timm
import torch
from ratios import Ratio, record
from safetensors.torch import save_file
from torch import nn

import filtercrawl
from filtercrawl.extraction.architecture import on_meta

NETWORKS = 200
JOBS = (1, 2)
SELECTORS = "selectors.json"


def made(folder: Path, count: int) -> list[str]:
    """Write files with the first convolution of networks; return the selectors that state their architectures."""
    names = timm.list_models()
    selectors = []
    for name in names[:: max(1, len(names) // count)][:count]:
        network = on_meta(partial(timm.create_model, name))
        layers = (item for item in network.named_modules() if isinstance(item[1], nn.Conv2d))
        found = next(((path, layer) for path, layer in layers if layer.kernel_size != (1, 1)), None)
        if found is not None:
            path, layer = found
            save_file({f"{path}.weight": torch.randn(layer.weight.shape)}, folder / f"{name}.safetensors")
            selectors.append(f"local:{folder / name}.safetensors arch=timm/{name}")
    return selectors


def crawled(folder: Path, jobs: int) -> dict[str, float]:
    """Sync in this process, with workers; return seconds."""
    selectors = json.loads((folder / SELECTORS).read_text("utf-8"))
    cpu, wall = time.process_time(), time.perf_counter()
    report = filtercrawl.sync(*selectors, dataset=folder / f"jobs{jobs}", jobs=jobs, device="cpu", progress=False)
    assert not report.failures, report.failures
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall": time.perf_counter() - wall,
        "run": time.process_time() - cpu,
        "workers": children.ru_utime + children.ru_stime,
    }


def apart(folder: Path, jobs: int) -> dict[str, float]:
    """Sync in a process of its own."""
    command = [sys.executable, __file__, "--crawl", str(folder), str(jobs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main(networks: int) -> None:
    """Measure, and print a line for each number of jobs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "zoo").mkdir()
        selectors = made(folder / "zoo", networks)
        (folder / SELECTORS).write_text(json.dumps(selectors), "utf-8")
        found = {jobs: apart(folder, jobs) for jobs in JOBS}
    for jobs, seconds in found.items():
        print(
            f"{len(selectors)} networks, {jobs} jobs: {seconds['wall']:.1f} s; CPU seconds: {seconds['run']:.1f} in "
            f"the process of the run, {seconds['workers']:.1f} in workers"
        )
    speedup = found[1]["wall"] / found[2]["wall"]
    print(f"two are {speedup:.2f} times as fast as one")
    record(
        [
            Ratio(
                what=f"structure of {len(selectors)} networks of timm with two jobs, speed",
                peer="one job",
                value=speedup,
            )
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--crawl"]:
        print(json.dumps(crawled(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else NETWORKS)
