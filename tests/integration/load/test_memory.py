"""Loading takes what it gives, a row group and a pool: not what the dataset is large."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Sync
from support.large_checkpoint import generate

# Imports and the choice first; then the peak of resident memory above them, which the kernel keeps.
MEASURED = """
import sys
from pathlib import Path
import torch
from filtercrawl.load import KernelDataset, load_layers

def memory(what):
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[what].split()[0]) * 1024

torch.set_num_threads(1)
dataset, what = sys.argv[1:]
load_layers(dataset, "false")
if what == "layers":
    before = memory("VmRSS")
    given = load_layers(dataset, "kernel = '31x31'").nbytes
elif what == "search":
    from filtercrawl import search
    search(dataset, [[1.0] * 31] * 31)  # of few kernels, to import what it needs
    before, given = memory("VmRSS"), 0
    assert search(dataset, [[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]] * 50, k=100).searched > 1_000_000
else:
    kernels = KernelDataset(dataset, "3x3", buffer_bytes=1 << 24)
    before, given = memory("VmRSS"), 1 << 24
    assert sum(len(batch) for batch in kernels) == kernels.n_kernels
print(memory("VmHWM") - before - given)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
@pytest.mark.parametrize("what", ["layers", "search", "KernelDataset"])
def test_memory_is_bounded(what: str, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    generate(zoo / "net.safetensors", 0.5e9)
    run_sync()
    command = [sys.executable, "-c", MEASURED, str(dataset), what]
    above = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert sum(path.stat().st_size for path in (dataset / "data/layers").rglob("*.parquet")) > 350_000_000
    assert above < 250_000_000
