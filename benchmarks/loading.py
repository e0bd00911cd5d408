"""Measure how large kernels are stored, how fast layers and shuffled kernels come back, and in how much memory.

python benchmarks/loading.py [NETWORKS]    16 by default, 1.2 million kernels each

With the default number of networks it writes loading.md beside this file.

Weights are normal with He's variance in the shapes of torchvision's resnet34. Every figure of speed is kernels of 3x3 a
CPU second of one process with one thread; what is compared is measured alternately in one run, the best of several.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from ratios import Ratio, record
from safetensors.torch import save_file

from filtercrawl.load import KernelDataset, load_layers, to_flat_tensor, to_tensors
from filtercrawl.load.kernel_dataset import BUFFER_BYTES

REPORT = Path(__file__).with_suffix(".md")
CHANNELS = [(64, 64)] * 6 + [(64, 128)] + [(128, 128)] * 7 + [(128, 256)] + [(256, 256)] * 11 + [(256, 512)]
SHAPES = [*CHANNELS, *[(512, 512)] * 5]
ROUNDS = 5
NETWORKS = 16


def made(folder: Path, networks: int) -> Path:
    """Sync that many networks of random weights into a dataset."""
    generator = torch.Generator().manual_seed(0)
    (folder / "zoo").mkdir()
    for number in range(networks):
        state = {
            f"layer{place}.weight": torch.randn(out, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
            for place, (channels, out) in enumerate(SHAPES)
        }
        save_file(state, folder / f"zoo/{number}.safetensors")
    command = [sys.executable, "-m", "filtercrawl", "sync", f"local:{folder / 'zoo'}", "--dataset"]
    subprocess.run(
        [*command, str(folder / "dataset")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return folder / "dataset"


def stored_bytes(dataset: Path) -> float:
    """Bytes of the column of weights a kernel, page headers included."""
    size = kernels = 0
    for path in (dataset / "data/layers").rglob("*.parquet"):
        facts = pq.ParquetFile(path).metadata
        for group in range(facts.num_row_groups):
            columns = [facts.row_group(group).column(place) for place in range(facts.num_columns)]
            (weight,) = [column for column in columns if column.path_in_schema.startswith("weight.")]
            size, kernels = size + weight.total_compressed_size, kernels + weight.num_values // 9
    return size / kernels


def row_a_kernel(dataset: Path, folder: Path) -> Path:
    """Write the kernels of the first network as a row each, as one would without thinking of layers."""
    kernels = to_flat_tensor(load_layers(dataset, "model_id = 'local/0.safetensors'", [])["weight"]).numpy()
    column = pa.FixedSizeListArray.from_arrays(pa.array(kernels), 9)
    path = folder / "kernels.parquet"
    pq.write_table(pa.table({"kernel": column}), path, compression="zstd", use_dictionary=False)
    return path


def access(dataset: Path, folder: Path) -> dict[str, float]:
    """Million kernels a CPU second, reading every layer of one network as arrays."""
    table = load_layers(dataset, "model_id = 'local/0.safetensors'", ["layer", "n_kernels"])
    ends = np.cumsum(table["n_kernels"].to_numpy())
    spans = [(int(end - n), int(end)) for end, n in zip(ends, table["n_kernels"].to_pylist(), strict=True)]
    options: dict[str, Any] = {"split": "train", "cache_dir": str(folder / "cache")}
    every = datasets.load_dataset("parquet", data_files=str(row_a_kernel(dataset, folder)), **options)
    rows = every.with_format("numpy")
    whole = datasets.load_dataset(
        str(dataset),
        "layers",
        filters=[("model_id", "==", "local/0.safetensors")],
        columns=["shape", "weight"],
        **options,
    ).with_format("numpy")
    ways: dict[str, Callable[[], Iterable[Any]]] = {
        "`datasets`, a row a kernel, numpy": lambda: (rows[start:stop]["kernel"] for start, stop in spans),
        "`datasets`, config `layers`, numpy": lambda: (whole[place]["weight"] for place in range(len(whole))),
        "`filtercrawl.to_tensors`": lambda: to_tensors(table),
        "`filtercrawl.load_layers`, from the files": lambda: to_tensors(
            load_layers(dataset, "model_id = 'local/0.safetensors'")
        ),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            numbers = sum(piece.size if isinstance(piece, np.ndarray) else piece.numel() for piece in way())
            assert numbers == 9 * spans[-1][1]
            best[name] = max(best[name], numbers / 9e6 / (time.process_time() - start))
    return best


def memory(what: str) -> float:
    """MB that are resident (`VmRSS`), or were at the most (`VmHWM`); rusage would tell of the parent process, too."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) * 1.024e-3


def stream(way: str, dataset: Path) -> dict[str, float]:
    """Read shuffled kernels in this process: million a CPU second and a second, MB at the peak above the imports."""
    if way == "KernelDataset":
        batches: Iterable[torch.Tensor] = KernelDataset(dataset, "3x3", batch_size=8192, seed=0)
    else:
        options: dict[str, Any] = {"split": "train", "streaming": True, "columns": ["kernel", "weight"]}
        rows = datasets.load_dataset(str(dataset), "layers", **options).shuffle(seed=0).with_format("torch")
        batches = (row["weight"].view(-1, 3, 3) for row in rows)
    before, cpu, wall = memory("VmRSS"), time.process_time(), time.perf_counter()
    count = sum(len(batch) for batch in batches)
    spent, passed = time.process_time() - cpu, time.perf_counter() - wall
    peak = memory("VmHWM")
    return {"cpu": count / 1e6 / spent, "wall": count / 1e6 / passed, "peak": peak - before, "count": count}


def apart(way: str, dataset: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, way, str(dataset)], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(speeds: dict[str, float], streams: dict[str, dict[str, float]]) -> None:
    """Record the ratios to `datasets`."""
    rows = "`datasets`, a row a kernel"
    slow = speeds[f"{rows}, numpy"]
    ours, shuffled = streams["KernelDataset"], streams["shuffle"]
    record(
        [
            *(
                Ratio(what=f"{way}, kernels a CPU second", peer=rows, value=speed / slow)
                for way, speed in speeds.items()
                if not way.startswith("`datasets`")
            ),
            Ratio(
                what="`KernelDataset`, shuffled kernels a CPU second",
                peer="`datasets` streaming, `.shuffle()` of layers",
                value=ours["cpu"] / shuffled["cpu"],
                at_least=1,
            ),
            Ratio(
                what="`KernelDataset`, memory above the imports",
                peer="`datasets` streaming, `.shuffle()` of layers",
                value=ours["peak"] / shuffled["peak"],
                at_most=1,
            ),
        ]
    )


def report(networks: int) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = made(folder, networks)
        size, speeds = stored_bytes(dataset), access(dataset, folder)
        streams = {way: apart(way, dataset) for way in ("KernelDataset", "shuffle")}
    slow = speeds["`datasets`, a row a kernel, numpy"]
    compare(speeds, streams)
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("torch", "pyarrow", "datasets", "duckdb"))
    lines = [
        "# Loading\n",
        f"Written by `python benchmarks/loading.py {networks}`; {tools}; {platform.machine()}, one thread.\n",
        f"{streams['KernelDataset']['count'] / 1e6:.1f} million kernels of 3x3 in {networks} networks. "
        f"**{size:.2f} bytes a kernel** in the column of weights; 36 as float32.\n",
        "| every layer of one network | million kernels a CPU second | ratio |\n|---|---|---|",
        *(f"| {way} | {speed:,.2f} | {speed / slow:,.0f} |" for way, speed in speeds.items()),
        "\n| all kernels, shuffled | million a CPU second | million a second | MB at the peak above the imports |",
        "|---|---|---|---|",
        *(
            f"| {about} | {streams[way]['cpu']:.2f} | {streams[way]['wall']:.2f} | {streams[way]['peak']:,.0f} |"
            for way, about in (
                ("KernelDataset", f"`KernelDataset`, batches of 8,192, pool of {BUFFER_BYTES >> 20} MiB"),
                ("shuffle", "`datasets` streaming, `.shuffle()`: layers, not kernels"),
            )
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    datasets.disable_progress_bars()
    if len(sys.argv) == 3:
        print(json.dumps(stream(sys.argv[1], Path(sys.argv[2]))))
    else:
        chosen = int(sys.argv[1]) if len(sys.argv) > 1 else NETWORKS
        text = report(chosen)
        if chosen == NETWORKS:
            REPORT.write_text(text, "utf-8")
        print(text)
