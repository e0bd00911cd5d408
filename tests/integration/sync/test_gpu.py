"""The whole path of weights on a CUDA device, against the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import Sync
from support.zoo_files import State, put, table

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


def network() -> State:
    torch.manual_seed(0)
    weights = {f"{i}.weight": torch.randn(64, 16 + i, 3, 3) for i in range(40)}
    weights |= {f"half{i}.weight": torch.randn(32, 8, 3, 3).half() for i in range(5)}
    weights |= {f"bfloat{i}.weight": torch.randn(32, 8, 5, 5).bfloat16() for i in range(5)}
    weights |= {"depthwise.weight": torch.randn(200, 1, 7, 7), "zeros.weight": torch.zeros(4, 4, 3, 3)}
    weights |= {"cube.weight": torch.randn(7, 5, 3, 3, 3), "large.weight": torch.randn(1024, 600, 3, 3)}
    weights["broken.weight"] = torch.randn(4, 4, 3, 3)
    weights["broken.weight"][1, 2, 0] = torch.nan
    return weights


def test_a_dataset_made_on_a_gpu_has_the_files_and_measures_of_the_cpu(
    zoo: Path, tmp_path: Path, run_sync: Sync
) -> None:
    put(zoo / "net.safetensors", network())
    cpu, gpu = (tmp_path / device for device in ("cpu", "cuda"))
    for folder in (cpu, gpu):
        run_sync(dataset=folder, device=folder.name)
    files = [
        {path.relative_to(folder): path.read_bytes() for path in (folder / "data" / "layers").rglob("*.parquet")}
        for folder in (cpu, gpu)
    ]
    assert files[0] == files[1]
    for name in ("index", "sketches", "samples"):
        for want, got in zip(table(cpu, name), table(gpu, name), strict=True):
            for column, value in want.items():
                agree(got[column], value, column)


def agree(got: object, want: object, column: str) -> None:
    if isinstance(want, float):
        assert got == pytest.approx(want, rel=1e-6, nan_ok=True), column
    elif isinstance(want, list) and want and isinstance(want[0], float):
        margin = 1e-6 * max(map(abs, want))
        assert got == pytest.approx(want, rel=1e-6, abs=margin, nan_ok=True), column
    else:
        assert got == want, column
