"""Measure what a sync of local checkpoints costs beside encoding and hashing the same weights.

python benchmarks/crawl.py [FILES]    11 by default, 86 MB each

With the default number of files it writes crawl.md beside this file, and prints otherwise.

Files have the tensors of torchvision's resnet34, with normal weights of He's variance: convolutions, batch
normalizations and the classifier. Each way runs in a process of its own, several rounds in turn; figures are CPU
seconds of all threads, the least of the rounds, without imports and without a first run on one small file. The ways:

- encode: reads each file, writes its weights of 3x3 and 7x7 with pyarrow, in the row groups and with the options of
  layers files, and computes what a dataset needs to know of them: the SHA-256 of each weight, of the input file and of
  the written file. Two hashes: the same without that of the input file.
- sync in threads of the process, with the measures and without, on the plain path and with numba, where that is
  installed.
- What no way of computing saves: the float32 products of all pairs of filters, which orthogonality is defined by, with
  the fastest multiplication at hand; and, as what does not depend on the size of weights, a sync without measures of
  the same networks with a sixteenth of the channels.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from ratios import Ratio, record
from safetensors import safe_open
from safetensors.torch import save_file

import filtercrawl
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.dataset.files import layers_writer
from filtercrawl.dataset.schema.arrow import LAYERS, ROW_GROUP_BYTES
from filtercrawl_analysis.layer_stats.orthogonality import FilterOrthogonality
from filtercrawl_analysis.numerics.gram import pairwise_products

REPORT = Path(__file__).with_suffix(".md")
FILES = 11
ROUNDS = 3
# Output channels, input channels, kernel size and how many of these resnet34 has.
CONVOLUTIONS = (
    (64, 3, 7, 1), (64, 64, 3, 6), (128, 64, 3, 1), (128, 64, 1, 1), (128, 128, 3, 7), (256, 128, 3, 1),
    (256, 128, 1, 1), (256, 256, 3, 11), (512, 256, 3, 1), (512, 256, 1, 1), (512, 512, 3, 5),
)  # fmt: skip
PEER, TWO_HASHES, PRODUCTS, NARROW = "encode", "encode, two hashes", "products", "narrow"
NARROWER = 16
WAYS = {
    PEER: "Arrow's encode, with the hashes of weights, input and output",
    TWO_HASHES: "Arrow's encode, with the hashes of weights and output",
    "bare": "`sync` without measures",
    "plain": "`sync` with all measures, without numba",
    "numba": "`sync` with all measures, with numba",
    PRODUCTS: "products of all pairs of filters alone",
    NARROW: f"`sync` without measures, a {NARROWER}th of the channels",
}
# They bound the others, and are not to be compared with the peer.
NO_RATIO = (PEER, TWO_HASHES, PRODUCTS, NARROW)
# What `sync` may take, as multiples of the peer.
BOUNDS = {"bare": 1.15, "numba": 1.5}


def network(generator: torch.Generator, narrower: int = 1) -> dict[str, torch.Tensor]:
    """Return random tensors in the shapes of resnet34, with a fraction of its channels."""
    state = {}
    for full_out, full_channels, size, count in CONVOLUTIONS:
        out, channels = full_out // narrower, max(full_channels // narrower, 3)
        for number in range(count):
            name = f"conv{out}_{channels}_{size}_{number}"
            scale = (2 / (channels * size * size)) ** 0.5
            state[f"{name}.weight"] = torch.randn(out, channels, size, size, generator=generator) * scale
            for vector in ("weight", "bias", "running_mean", "running_var"):
                state[f"{name}_norm.{vector}"] = torch.rand(out, generator=generator)
    state["fc.weight"] = torch.randn(1000, 512, generator=generator) / 512**0.5
    state["fc.bias"] = torch.zeros(1000)
    return state


def made(folder: Path, files: int) -> Path:
    """Write checkpoints of full and of narrow networks; return the folder of the former."""
    generator = torch.Generator().manual_seed(0)
    for name, narrower in (("zoo", 1), (NARROW, NARROWER)):
        (folder / name).mkdir()
        for number in range(files):
            save_file(network(generator, narrower), folder / name / f"{number}.safetensors")
    return folder / "zoo"


def encode(zoo: Path, target: Path, *, hash_input: bool) -> None:
    """Write the weights of convolutions with the options of layers files, and hash them."""
    target.mkdir()
    schema = pa.schema([LAYERS.field("weight")])
    for path in zoo.iterdir():
        if hash_input:
            digest_of(path)
        with (
            safe_open(path, "np") as file,
            pq.ParquetWriter(target / path.name, schema, **layers_writer.WRITER_OPTIONS) as writer,
        ):
            group: list[np.ndarray] = []
            size = 0
            for name in file.keys():  # noqa: SIM118 - not a mapping
                weight = file.get_tensor(name)
                if weight.ndim < 4 or weight.shape[2:] == (1, 1):
                    continue
                hashlib.sha256(weight.data).hexdigest()
                if group and size + weight.nbytes > ROW_GROUP_BYTES:
                    write_group(writer, group, schema)
                    group, size = [], 0
                group.append(weight.reshape(-1))
                size += weight.nbytes
            write_group(writer, group, schema)
        digest_of(target / path.name)


def multiply(zoo: Path, _: Path) -> None:
    """Multiply all pairs of filters that orthogonality is computed of."""
    for path in zoo.iterdir():
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                weight = file.get_tensor(name)
                if weight.ndim == 4 and weight.shape[2:] != (1, 1) and FilterOrthogonality(weight.shape).defined:
                    for _products in pairwise_products(weight.flatten(1)):
                        pass


def write_group(writer: pq.ParquetWriter, weights: list[np.ndarray], schema: pa.Schema) -> None:
    """Write weights as the rows of one row group."""
    ends = np.cumsum([0, *map(len, weights)], dtype=np.int64)
    column = pa.LargeListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(weights)))
    writer.write_table(pa.Table.from_arrays([column], schema=schema), row_group_size=len(weights))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run_of(way: str) -> Callable[[Path, Path], object]:
    """Return what a way does with a folder of checkpoints and one to write."""
    if way in (PEER, TWO_HASHES):
        return lambda zoo, target: encode(zoo, target, hash_input=way == PEER)
    if way == PRODUCTS:
        return multiply
    if way != "numba":
        sys.modules["numba"] = None  # type: ignore[assignment]  # an import of it raises ImportError
    measures = "filtercrawl.measures"
    chosen = [entry for kind in entry_points().groups if kind.startswith("filtercrawl.")
              for entry in entry_points(group=kind) if way not in ("bare", NARROW) or kind != measures]  # fmt: skip
    plugins = load_plugins(chosen)
    return lambda zoo, target: filtercrawl.sync(
        f"local:{zoo}", dataset=target, plugins=plugins, engine="threads", progress=False
    )


def measured(way: str, folder: Path) -> dict[str, float]:
    """Run one way in this process; return CPU seconds and seconds."""
    run = run_of(way)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = Path(name)
        run(folder / "small", scratch / "warm")
        cpu, wall = time.process_time(), time.perf_counter()
        run(folder / (NARROW if way == NARROW else "zoo"), scratch / "target")
        return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def apart(way: str, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own."""
    command = [sys.executable, __file__, way, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def best_of(folder: Path) -> dict[str, dict[str, float]]:
    """Return the least of each figure by way, of several rounds in turn."""
    ways = [way for way in WAYS if way != "numba" or find_spec("numba")]
    rounds = [{way: apart(way, folder) for way in ways} for _ in range(ROUNDS)]
    return {way: {name: min(each[way][name] for each in rounds) for name in ("cpu", "wall")} for way in ways}


def report(files: int) -> str:
    """Measure all ways; return the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zoo = made(folder, files)
        (folder / "small").mkdir()
        save_file({"conv.weight": torch.randn(128, 64, 3, 3)}, folder / "small/0.safetensors")
        megabytes = sum(path.stat().st_size for path in zoo.iterdir()) / 1e6
        best = best_of(folder)
    peer = best[PEER]["cpu"]
    record(
        Ratio(
            what=f"{WAYS[way]}, {megabytes:.0f} MB of safetensors, CPU time",
            peer=WAYS[PEER],
            value=figures["cpu"] / peer,
            at_most=BOUNDS.get(way),
        )
        for way, figures in best.items()
        if way not in NO_RATIO
    )
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("torch", "pyarrow", "numba") if find_spec(tool))
    floor = 1 + (best[PRODUCTS]["cpu"] + best[NARROW]["cpu"]) / peer
    lines = [
        "# Crawling\n",
        f"Written by `python benchmarks/crawl.py`; {tools}; {platform.machine()}.\n",
        f"{files} local safetensors files of a resnet34 with random weights, {megabytes:.0f} MB together. CPU seconds "
        f"of all threads without imports, the least of {ROUNDS} rounds in turn, each in a process of its own.\n",
        "| way | CPU seconds | seconds | of the first | of the second |\n|---|---|---|---|---|",
        *(
            f"| {WAYS[way]} | {figures['cpu']:.2f} | {figures['wall']:.2f} | {figures['cpu'] / peer:.2f} "
            f"| {figures['cpu'] / best[TWO_HASHES]['cpu']:.2f} |"
            for way, figures in best.items()
        ),
        "\nThe last two are what no faster loop saves: the definition of orthogonality needs all pairs of filters, and "
        "rows of tables, previews and the catalog do not depend on the size of weights. With the first they are "
        f"{floor:.2f} of the first.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        print(json.dumps(measured(sys.argv[1], Path(sys.argv[2]))))
    else:
        chosen = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
        text = report(chosen)
        if chosen == FILES:
            REPORT.write_text(text, "utf-8")
        print(text)
