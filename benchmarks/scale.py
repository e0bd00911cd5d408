"""A simulated zoo from the first listing to a published version: time and memory of each stage, by its size.

python benchmarks/scale.py 1000 10000   measures zoos of so many checkpoints, adds to scale.json and writes scale.md
python benchmarks/scale.py 200 --print  only prints

A Hub stand-in on loopback (that of the tests) serves repositories of some organizations, each with one safetensors
file of one to four small convolutions. Each stage is a command of filtercrawl in a process of its own; the stand-in
runs in this one, so its time does not count. Requests are those that the stand-in saw.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "tests"))

import numpy as np  # noqa: E402
from ratios import Ratio, record  # noqa: E402
from safetensors.numpy import save  # noqa: E402

from support.hub.server import HubServer  # noqa: E402

ORGANIZATIONS: Final = 20
# Share of the checkpoints that get other weights before the last night.
CHANGED: Final = 0.01
RESULTS: Final = FOLDER / "scale.json"
REPORT: Final = FOLDER / "scale.md"
# Name of each stage, and what it is.
STAGES: Final = {
    "plan": "`sync --dry-run` on an empty folder: list and plan",
    "sync": "`sync`: list, plan, crawl, write catalog and tables",
    "sync again": "`sync`, nothing new",
    "analyze": "`analyze`, for the first time",
    "analyze again": "`analyze`, nothing new",
    "publish": "`publish` into a folder: check, stage, copy, load what was published",
    "night, 1 % changed": "`release`: sync, analyze and publish after 1 % of the checkpoints changed",
    "restore": "`release` on an empty machine, nothing new: fetch the tables, rebuild the catalog, sync",
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One stage at one size.

    Attributes:
        checkpoints: Checkpoints of the zoo.
        stage: A key of `STAGES`.
        cpu_s: CPU seconds of the process and of those that it started.
        wall_s: Seconds.
        peak_mb: Peak resident memory of the largest of these processes, MB (10^6 bytes).
        requests: Requests that the stand-in saw.
        bytes_fetched: Bytes of checkpoints that were fetched.
        day: The date.
    """

    checkpoints: int
    stage: str
    cpu_s: float
    wall_s: float
    peak_mb: float
    requests: int
    bytes_fetched: int
    day: str


def checkpoint(seed: int) -> bytes:
    """A safetensors file of one to four 3x3 convolutions with 8 to 32 channels, random or smooth."""
    random = np.random.default_rng(seed)
    channels = [3, *random.choice([8, 16, 32], random.integers(1, 5)).tolist()]
    tensors = {}
    for i, (n_in, n_out) in enumerate(pairwise(channels)):
        weight = random.standard_normal((n_out, n_in, 3, 3), dtype=np.float32) * np.float32(0.1)
        if seed % 4:
            weight += weight.mean((2, 3), keepdims=True) * 2
        tensors |= {f"conv{i}.weight": weight, f"bn{i}.bias": np.zeros(n_out, np.float32)}
    return save(tensors)


def repository(number: int) -> str:
    """The name of a repository of the zoo."""
    return f"lab{number % ORGANIZATIONS:02}/net{number:06}"


class Zoo:
    """The stand-in with its repositories, a dataset folder, and the measurements."""

    def __init__(self, hub: HubServer, checkpoints: int, place: Path) -> None:
        self.hub = hub
        self.checkpoints = checkpoints
        self.place = place
        self.measured: list[Measured] = []
        for number in range(checkpoints):
            hub.create(repository(number), {"model.safetensors": checkpoint(number)}, card={"license": "mit"})

    def change(self) -> None:
        """Give some checkpoints other weights."""
        for number in range(0, self.checkpoints, round(1 / CHANGED)):
            self.hub.commit(repository(number), {"model.safetensors": checkpoint(self.checkpoints + number)})

    def stage(self, name: str, *arguments: str, dataset: str = "dataset") -> None:
        """Run a command of filtercrawl in a process of its own and measure it."""
        self.hub.forget()
        command = [sys.executable, "-m", "filtercrawl", *arguments, "--dataset", str(self.place / dataset), "--json"]
        environment = os.environ | {"HF_ENDPOINT": self.hub.url, "OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_XET": "1"}
        begin = time.monotonic()
        with (self.place / "log").open("wb") as log, (self.place / "out").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=log, cwd=self.place)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            tail = (self.place / "log").read_text("utf-8", "replace")[-3000:]
            raise SystemExit(f"{name} ended with {process.returncode}: {tail}")
        unit = 1 if sys.platform == "darwin" else 1024
        found = Measured(
            checkpoints=self.checkpoints,
            stage=name,
            cpu_s=round(used.ru_utime + used.ru_stime, 1),
            wall_s=round(time.monotonic() - begin, 1),
            peak_mb=round(used.ru_maxrss * unit / 1e6),
            requests=len(self.hub.log),
            bytes_fetched=_bytes_fetched(self.place / "out"),
            day=datetime.now(UTC).date().isoformat(),
        )
        self.measured.append(found)
        print(json.dumps(asdict(found)), flush=True)


def _bytes_fetched(out: Path) -> int:
    """Return what the object on stdout says of bytes, in itself or of the sync of a release."""
    said = json.loads(out.read_text("utf-8"))
    found: int = {**said, **(said.get("sync") or {})}.get("bytes_fetched", 0)
    return found


def measure(checkpoints: int) -> list[Measured]:
    """Run all stages over a zoo of so many checkpoints."""
    selectors = [f"hub:lab{number:02}/*" for number in range(min(ORGANIZATIONS, checkpoints))]
    with tempfile.TemporaryDirectory(prefix="filtercrawl-scale-") as folder, HubServer() as hub:
        zoo = Zoo(hub, checkpoints, Path(folder))
        published = str(zoo.place / "published")
        zoo.stage("plan", "sync", *selectors, "--dry-run")
        zoo.stage("sync", "sync", *selectors)
        zoo.stage("sync again", "sync", *selectors)
        zoo.stage("analyze", "analyze")
        zoo.stage("analyze again", "analyze")
        zoo.stage("publish", "publish", published)
        zoo.change()
        zoo.stage("night, 1 % changed", "release", published, *selectors)
        zoo.stage("restore", "release", published, *selectors, dataset="empty")
        return zoo.measured


def growth(results: Sequence[Measured]) -> list[Ratio]:
    """Return the CPU time of each stage at each size over that at the next smaller one, by checkpoint."""
    sizes = sorted({result.checkpoints for result in results})
    cpu = {(result.stage, result.checkpoints): result.cpu_s for result in results}
    return [
        Ratio(
            what=f"CPU time of {stage}, {larger:,} checkpoints",
            peer=f"{smaller:,} checkpoints",
            value=cpu[stage, larger] / cpu[stage, smaller],
        )
        for smaller, larger in pairwise(sizes)
        for stage in STAGES
        if (stage, larger) in cpu and cpu.get((stage, smaller))
    ]


def report(results: Sequence[Measured]) -> str:
    """Return the tables in Markdown."""
    sizes = sorted({result.checkpoints for result in results})
    of = {(result.stage, result.checkpoints): result for result in results}
    lines = [
        "# A simulated zoo, by its size",
        "",
        f"`python benchmarks/scale.py {' '.join(map(str, sizes))}`, last on {max(result.day for result in results)}, "
        f"{platform.machine()}, {os.cpu_count()} cores. What it shows: [docs/scale.md](../docs/scale.md).",
        "",
        "CPU seconds, peak memory, requests, and bytes of checkpoints that were fetched.",
        "",
        "| stage | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    for stage, about in STAGES.items():
        cells = [_cell(of[stage, size]) if (stage, size) in of else "" for size in sizes]
        if any(cells):
            lines.append(f"| **{stage}**: {about} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(result: Measured) -> str:
    sent = f", {result.requests:,} requests, {result.bytes_fetched / 1e6:,.1f} MB" if result.requests else ""
    return f"{result.cpu_s:,.0f} s, {result.peak_mb:,.0f} MB{sent}"


def main() -> None:
    """Measure the sizes that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=int)
    parser.add_argument("--print", action="store_true", help="write no files")
    chosen = parser.parse_args()
    results = [result for size in chosen.checkpoints for result in measure(size)]
    record(growth(results))
    if chosen.print:
        print(report(results))
        return
    earlier = [Measured(**row) for row in json.loads(RESULTS.read_text("utf-8"))] if RESULTS.is_file() else []
    kept = [result for result in earlier if result.checkpoints not in chosen.checkpoints]
    results = sorted([*kept, *results], key=lambda result: (result.checkpoints, list(STAGES).index(result.stage)))
    RESULTS.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n", "utf-8")
    REPORT.write_text(report(results), "utf-8")


if __name__ == "__main__":
    main()
