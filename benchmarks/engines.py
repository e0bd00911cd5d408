"""Measure the engine `ray`: two nodes against one, its work a task, and how long it takes to start.

python benchmarks/engines.py [NETWORKS] [SMALL]    20 and 100 by default

With the default numbers it writes engines.md beside this file. Every cluster is one raylet or two of one CPU each on
this machine; nothing else should run on it, and the load before each run is stated.

Networks are torchvision's resnet34 in shape, with random weights in safetensors files. Small checkpoints have one
layer: what a task of the engine takes beyond the crawl shows in them. Waiting checkpoints take half a second and hardly
any CPU time: how well two nodes are kept busy shows in them also on a machine that others use.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from engines_waiting import SECONDS, write_waiting
from ratios import Ratio, record
from safetensors.numpy import save_file

from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.progress import NullProgress

REPORT = Path(__file__).with_suffix(".md")
CHANNELS = [(64, 64)] * 6 + [(64, 128)] + [(128, 128)] * 7 + [(128, 256)] + [(256, 256)] * 11 + [(256, 512)]
SHAPES = [*CHANNELS, *[(512, 512)] * 5]
NETWORKS, SMALL = 20, 100


@dataclass
class Times(NullProgress):
    """When each checkpoint was committed, in seconds since the start of the process's run."""

    began: float = field(default_factory=time.perf_counter)
    done_at: list[float] = field(default_factory=list)

    def done(self, model_id: str, what: str) -> None:  # noqa: ARG002 - the signature of a progress display
        self.done_at.append(time.perf_counter() - self.began)


def write_networks(folder: Path, n: int) -> None:
    random = np.random.default_rng(0)
    for number in range(n):
        state = {
            f"layer{place}.weight": random.standard_normal((out, channels, 3, 3), dtype=np.float32)
            for place, (channels, out) in enumerate(SHAPES)
        }
        save_file(state, folder / f"{number:03}.safetensors")


def write_small(folder: Path, n: int) -> None:
    random = np.random.default_rng(1)
    for number in range(n):
        weight = random.standard_normal((8, 4, 3, 3), dtype=np.float32)
        save_file({"conv.weight": weight}, folder / f"{number:03}.safetensors")


def run(nodes: int, zoo: Path, dataset: Path) -> None:
    """Sync in this process, on a cluster of so many nodes or, for none, in threads; print the times as JSON."""
    import filtercrawl

    cluster, started = None, 0.0
    if nodes:
        from ray.cluster_utils import Cluster

        began = time.perf_counter()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        started = time.perf_counter() - began
    times, load = Times(), os.getloadavg()[0]
    report = filtercrawl.sync(
        f"local:{zoo}",
        dataset=dataset,
        device="cpu",
        jobs=1,
        plugins=load_plugins().with_plugin("engines_waiting"),
        progress=times,
        engine="ray" if nodes else "local",
        ray_address=cluster.address if cluster else None,
    )
    wall = time.perf_counter() - times.began
    assert not report.failures
    print(json.dumps({"cluster": started, "wall": wall, "done_at": times.done_at, "load": load}))
    if cluster is not None:
        cluster.shutdown()


def measured(nodes: int, zoo: Path, folder: Path) -> dict[str, Any]:
    """Run in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as dataset:
        command = [sys.executable, __file__, "--run", str(nodes), str(zoo), f"{dataset}/dataset"]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def per_task(times: dict[str, Any]) -> float:
    """Seconds from one commit to the next, without the start."""
    done_at = times["done_at"]
    return (done_at[-1] - done_at[0]) / (len(done_at) - 1)


def main(networks: int = NETWORKS, small: int = SMALL) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zoos = {
            "networks": (write_networks, networks),
            "small": (write_small, small),
            "waiting": (write_waiting, small),
        }
        for zoo, (write, n) in zoos.items():
            (folder / zoo).mkdir()
            write(folder / zoo, n)
        large = {nodes: measured(nodes, folder / "networks", folder) for nodes in (0, 1, 2)}
        tiny = {nodes: measured(nodes, folder / "small", folder) for nodes in (0, 1)}
        waiting = {nodes: measured(nodes, folder / "waiting", folder) for nodes in (1, 2)}
    megabytes = 4 * sum(9 * a * b for a, b in SHAPES) / 1e6
    versions = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch", "pyarrow"))
    lines = [
        "# Engines",
        "",
        f"Written by `python benchmarks/engines.py {networks} {small}`; {versions}; {platform.machine()}, "
        f"{os.cpu_count()} cores, one thread a process.",
        "",
        f"{networks} networks in the shape of resnet34 ({megabytes:.0f} MB each). A ratio is to one node.",
        "",
        "| engine | whole run, s | ratio | a checkpoint, s | ratio | load before |",
        "|---|---|---|---|---|---|",
    ]
    titles = {0: "`local`, one job", 1: "`ray`, one node of one CPU", 2: "`ray`, two nodes of one CPU each"}
    for nodes, title in titles.items():
        wall, each = large[nodes]["wall"], per_task(large[nodes])
        whole, single = large[1]["wall"] / wall, per_task(large[1]) / each
        load = large[nodes]["load"]
        lines.append(f"| {title} | {wall:.1f} | {whole:.2f} | {each:.3f} | {single:.2f} | {load:.2f} |")
    one, two = (per_task(waiting[nodes]) for nodes in (1, 2))
    lines += [
        "",
        f"{small} checkpoints that wait {SECONDS} s each: {one:.3f} s a checkpoint on one node, {two:.3f} s on two, "
        f"**{one / two:.2f} times** as many a second (load before: {waiting[1]['load']:.2f} and "
        f"{waiting[2]['load']:.2f}).",
    ]
    local, ray = (1000 * per_task(tiny[nodes]) for nodes in (0, 1))
    first_local, first_ray = (tiny[nodes]["done_at"][0] for nodes in (0, 1))
    lines += [
        "",
        f"{small} checkpoints of one small layer: {local:.1f} ms each with `local`, {ray:.1f} ms with one node. The "
        f"engine takes **{ray - local:.1f} ms a task**, {(ray - local) / 10 / per_task(large[0]):.1f} % of the "
        f"{per_task(large[0]):.2f} s of one of the networks above.",
        "",
        f"A cluster of one node starts in {large[1]['cluster']:.1f} s. From the start of a run to its first commit: "
        f"{first_ray:.1f} s on one node, {first_local:.1f} s with `local`; most of that are imports.",
        "",
    ]
    record(
        [
            Ratio(
                what=f"checkpoints a second, {networks} networks of {megabytes:.0f} MB, two Ray nodes of one CPU",
                peer="one Ray node of one CPU",
                value=per_task(large[1]) / per_task(large[2]),
                at_least=1.8,
            ),
            Ratio(
                what=f"checkpoints a second that wait {SECONDS} s each, two Ray nodes of one CPU",
                peer="one Ray node of one CPU",
                value=one / two,
                at_least=1.8,
            ),
            Ratio(
                what="what the engine `ray` adds to a task",
                peer=f"crawling a network of {megabytes:.0f} MB",
                value=(ray - local) / 1000 / per_task(large[0]),
                at_most=0.02,
            ),
        ]
    )
    text = "\n".join(lines)
    print(text)
    if (networks, small) == (NETWORKS, SMALL):
        REPORT.write_text(text, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(*map(int, sys.argv[1:]))
