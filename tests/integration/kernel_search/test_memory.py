"""The memory of a search does not depend on the size of the dataset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import filtercrawl
from support.zoo_files import put

# A search of few kernels first, compiled if numba is installed; then the peak above that, which the kernel keeps.
CODE = """
import sys
import numpy as np
import filtercrawl

def memory(what):
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(what))

queries = np.random.default_rng(0).standard_normal((64, 3, 3))
filtercrawl.search(sys.argv[1], queries, where="layer = 'first'")
before = memory("VmRSS")
assert filtercrawl.search(sys.argv[1], queries).searched > 12_000_000
print(memory("VmHWM") - before)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    put(tmp_path / "zoo/first.safetensors", {"first.weight": torch.randn(512, 512, 3, 3)})
    for i in range(6):
        put(tmp_path / f"zoo/{i}.safetensors", {f"{n}.weight": torch.randn(1024, 1024, 3, 3) for n in range(2)})
    filtercrawl.sync(f"local:{tmp_path / 'zoo'}", dataset=tmp_path / "dataset")
    command = [sys.executable, "-c", CODE, str(tmp_path / "dataset")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    assert int(done.stdout) < 250_000_000  # there are 460 MB of weights
