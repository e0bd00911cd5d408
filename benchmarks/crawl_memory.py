"""Measure the memory of crawls: of one large sharded checkpoint, and of thousands of small ones in one run.

python benchmarks/crawl_memory.py                        20 GB and 20,000 checkpoints; writes crawl_memory.md
python benchmarks/crawl_memory.py --gb 2 --checkpoints 1000    printed only

Figures are resident memory above that of the same process after a sync of one small checkpoint, which imports all that
is needed. The large checkpoint has shards of a tenth of its size, with tensors in random order, all zeros: files that
take no disk. It is crawled with 4 jobs, in threads of the process. Exit code 1: it takes more than 400 MB.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from ratios import Ratio, record
from safetensors.torch import save_file

import filtercrawl
from filtercrawl.api.progress import NullProgress

REPOSITORY = Path(__file__).resolve().parent.parent
REPORT = Path(__file__).with_suffix(".md")
sys.path[:0] = [str(REPOSITORY / "tests")]

from support.sharded_checkpoint import generate_sharded  # noqa: E402

GIGABYTES, CHECKPOINTS = 20.0, 20_000
LIMIT_MB = 400
STEPS = (100, 250, 500, 1000, 2000, 4000, 8000, 16000, 20000)


def memory(what: str) -> float:
    """Return MB that are resident (`VmRSS`), or were at the most (`VmHWM`)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) * 1.024e-3


class Watch(NullProgress):
    """Notes the resident memory after some numbers of checkpoints."""

    def __init__(self) -> None:
        self.count = 0
        self.noted: dict[int, float] = {}

    def done(self, *_: object) -> None:
        """Count a checkpoint."""
        self.count += 1
        if self.count in STEPS:
            self.noted[self.count] = memory("VmRSS")


def crawled(folder: Path) -> None:
    """Sync the folder `zoo` in this process; print a line a figure."""
    filtercrawl.sync(
        f"local:{folder / 'small'}", dataset=folder / "first", engine="threads", device="cpu", progress=False
    )
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, watch = memory("VmRSS"), Watch()
    report = filtercrawl.sync(
        f"local:{folder / 'zoo'}", dataset=folder / "dataset", engine="threads", device="cpu", jobs=4, progress=watch
    )
    assert not report.failures, report.failures
    for count, resident in watch.noted.items():
        print(count, resident - before)
    print("peak", memory("VmHWM") - before)


def figures(folder: Path) -> dict[str, float]:
    """Sync the folder `zoo` in a process of its own."""
    (folder / "small").mkdir()
    save_file({"conv.weight": torch.randn(128, 64, 3, 3)}, folder / "small/net.safetensors")
    command = [sys.executable, __file__, "--crawl", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}


def peak_of_large(gigabytes: float) -> float:
    """Return the MB that a sharded checkpoint takes at the peak."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "zoo").mkdir()
        generate_sharded(Path(name) / "zoo", gigabytes * 1e9, gigabytes * 1e8)
        return figures(Path(name))["peak"]


def growth(checkpoints: int) -> dict[str, float]:
    """Return the MB that are resident after some numbers of small checkpoints."""
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        zoo = Path(name) / "zoo"
        zoo.mkdir()
        for number in range(checkpoints):
            layers = {f"conv{i}.weight": torch.randn(8, 8, 3, 3, generator=generator) for i in range(3)}
            save_file(layers, zoo / f"{number}.safetensors")
        return figures(Path(name))


def main() -> int:
    """Measure, and write or print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=GIGABYTES, help="size of the large checkpoint")
    parser.add_argument("--checkpoints", type=int, default=CHECKPOINTS, help="how many small ones")
    parser.add_argument("--crawl", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.crawl is not None:
        crawled(chosen.crawl)
        return 0
    peak = peak_of_large(chosen.gb)
    print(f"{chosen.gb:g} GB: {peak:.0f} MB at the peak", flush=True)  # the second takes long
    small = growth(chosen.checkpoints)
    record(
        [Ratio(what=f"a sharded checkpoint of {chosen.gb:g} GB, memory", peer=f"{LIMIT_MB} MB", value=peak / LIMIT_MB,
               at_most=1)]
    )  # fmt: skip
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("torch", "pyarrow"))
    lines = [
        "# Memory of crawls\n",
        f"Written by `python benchmarks/crawl_memory.py`; {tools}; {platform.machine()}. MB above those resident "
        "after a sync of one small checkpoint.\n",
        f"One checkpoint of {chosen.gb:g} GB in ten shards, tensors in random order, 4 jobs: **{peak:.0f} MB** at the "
        "peak.\n",
        f"{chosen.checkpoints:,} checkpoints of three layers in one run:\n",
        "| checkpoints | MB |\n|---|---|",
        *(f"| {count} | {value:.0f} |" for count, value in small.items()),
    ]
    text = "\n".join(lines) + "\n"
    if (chosen.gb, chosen.checkpoints) == (GIGABYTES, CHECKPOINTS):
        REPORT.write_text(text, "utf-8")
    print(text)
    return 0 if peak <= LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
