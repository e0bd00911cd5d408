"""Measure search of a dataset with reading from its Parquet files, and its memory.

python benchmarks/search_dataset.py [MILLIONS ...]    sizes in millions of 3x3 kernels, by default 5 and 20; needs numba

With the default sizes it writes search_dataset.md, and prints otherwise.

Datasets are crawled from generated checkpoints. Times are processor seconds of all threads, the shortest of interleaved
runs. Beside them stands pyarrow's own read of the same columns: what decompressing and decoding take.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
import torch
from ratios import Ratio, record
from safetensors.torch import save_file

import filtercrawl

REPORT: Final = Path(__file__).with_suffix(".md")
QUERIES: Final = (1, 16, 256)
SIZES: Final = (5, 20)
CHANNELS: Final = 1024
ROUNDS: Final = 3
HEAD: Final = (
    "| million kernels | queries | search, s | reading, s | reading is | million kernels a second | "
    "minutes for 1.46 billion | least memory | memory |"
)
# Peak of resident memory of a process that searches; without arguments, of one that only searches nothing much.
MEMORY: Final = """
import sys
import numpy as np
import filtercrawl

queries = np.random.default_rng(0).standard_normal((int(sys.argv[2]), 3, 3))
filtercrawl.search(sys.argv[1], queries, where=sys.argv[3])
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) // 1024)
"""


def generate(folder: Path, millions: int) -> tuple[Path, int]:
    """Crawl checkpoints of a million kernels each, and a small one; return the dataset and its number of kernels."""
    random = np.random.default_rng(0)
    zoo = folder / "zoo"
    zoo.mkdir()
    save_file({"small.weight": torch.randn(8, 8, 3, 3)}, zoo / "small.safetensors")
    for i in range(millions):
        kernels = random.standard_normal((CHANNELS, CHANNELS, 3, 3), np.float32)
        kernels *= np.exp(random.standard_normal((CHANNELS, CHANNELS, 1, 1), np.float32))
        save_file({"conv.weight": torch.from_numpy(kernels)}, zoo / f"net{i}.safetensors")
    report = filtercrawl.sync(f"local:{zoo}", dataset=folder / "dataset")
    return folder / "dataset", report.kernels


def read(dataset: Path) -> None:
    """Read the columns that a search reads."""
    for path in sorted(dataset.glob("data/layers/**/*.parquet")):
        with pq.ParquetFile(path, pre_buffer=True) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group, columns=["layer_id", "out_start", "weight"])


def fastest(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest processor time of each; the first round, which compiles, does not count."""
    found = dict.fromkeys(runs, float("inf"))
    for counts in range(ROUNDS + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            found[name] = min(found[name], time.process_time() - start) if counts else found[name]
    return found


def memory(dataset: Path, queries: int, where: str) -> int:
    """Return the peak of resident memory of a search in a process of its own, in MiB."""
    command = [sys.executable, "-c", MEMORY, str(dataset), str(queries), where]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows(millions: int) -> list[str]:
    """Return the rows of the table for one size."""
    with tempfile.TemporaryDirectory() as folder:
        dataset, n = generate(Path(folder), millions)
        random = np.random.default_rng(1).standard_normal((max(QUERIES), 3, 3))
        runs: dict[str, Callable[[], object]] = {"read": lambda: read(dataset)}
        runs |= {str(q): lambda q=q: filtercrawl.search(dataset, random[:q]) for q in QUERIES}
        times = fastest(runs)
        found = []
        for q in QUERIES:
            small, all_of_it = memory(dataset, q, "layer = 'small'"), memory(dataset, q, "true")
            took = times[str(q)]
            what = f"search of {n / 1e6:,.1f} million stored kernels, queries at a time: {q}, speed"
            record([Ratio(what=what, peer="pyarrow's read of the same columns", value=times["read"] / took)])
            found.append(
                f"| {n / 1e6:,.1f} | {q} | {took:.2f} | {times['read']:.2f} | {times['read'] / took:.2f} | "
                f"{n / took / 1e6:,.1f} | {1.46e9 / n * took / 60:.1f} | {small} | {all_of_it} |"
            )
            print(found[-1], flush=True)
        return found


def main() -> None:
    """Measure and write the report."""
    torch.set_num_threads(1)
    sizes = [int(argument) for argument in sys.argv[1:]]
    table = "\n".join(row for size in sizes or SIZES for row in rows(size))
    if sizes:
        return
    REPORT.write_text(
        f"""# Search of a dataset, measured

Written by `python benchmarks/search_dataset.py`; processor seconds of all threads, cosine, 10 neighbors, 3x3 kernels
in Parquet files on a local disk, with numba. `reading` is pyarrow's own read of the same columns: decompression and
decoding, which a search cannot do without. Memory is the peak of a process in MiB: `least` of a search of 64 kernels,
which is that of the interpreter, torch and the other libraries.

{HEAD}
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{table}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
