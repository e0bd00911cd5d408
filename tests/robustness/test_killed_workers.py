"""Workers are killed every few seconds, and one of two machines too: the dataset is that of a quiet run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.numpy import save_file

from conftest import NOW
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.sync import SyncContext, sync
from support.engines import files

pytestmark = [pytest.mark.ray, pytest.mark.exhaustive, pytest.mark.timeout(900)]

SECONDS_BETWEEN_KILLS: Final = 4.0
NETWORKS: Final = 60


def write_networks(folder: Path) -> None:
    for number in range(NETWORKS):
        numbers = np.random.default_rng(number)
        weights = {f"{n}.weight": numbers.standard_normal((256, 128, 3, 3), dtype=np.float32) for n in range(8)}
        save_file(weights, folder / f"net{number:02}.safetensors")


def crawling(raylets: set[int]) -> list[int]:
    """Return the processes of some raylets that crawl a checkpoint now."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in raylets and (process / "cmdline").read_bytes().startswith(b"ray::crawl "):
                found.append(int(process.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


@contextmanager
def killing(cluster: Any) -> Iterator[list[str]]:
    """Kill a crawling worker every few seconds, and the second node after the third; yields what was killed."""
    ended, killed, choice = threading.Event(), list[str](), random.Random(0)

    def kill() -> None:
        while not ended.wait(SECONDS_BETWEEN_KILLS):
            nodes = cluster.list_all_nodes()
            if len(killed) == 3 and len(nodes) > 1:
                cluster.remove_node(nodes[-1], allow_graceful=False)
                killed.append("node")
                continue
            processes = {info.process.pid for node in nodes for info in node.all_processes["raylet"]}
            if workers := crawling(processes):
                os.kill(choice.choice(workers), signal.SIGKILL)
                killed.append("worker")

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def test_a_worker_killed_every_few_seconds_and_one_node_killed_change_nothing(tmp_path: Path, zoo: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    write_networks(zoo)
    dataset = tmp_path / "dataset"

    def run(**settings: Any) -> dict[str, Any]:
        chosen = Settings(dataset=dataset, device="cpu", jobs=1, **settings)
        report = sync([f"local:{zoo}"], SyncContext(settings=chosen, plugins=load_plugins(), now=NOW))
        return {name: value for name, value in report.to_dict().items() if name != "seconds"}

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        with killing(cluster) as killed:
            on_ray = run(engine="ray", ray_address=cluster.address)
    finally:
        cluster.shutdown()
    assert killed.count("worker") >= 4
    assert "node" in killed
    found = files(dataset)
    shutil.rmtree(dataset)
    assert on_ray == run(engine="threads")
    assert found == files(dataset)
