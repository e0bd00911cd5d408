"""One step of the benchmark in a process of its own: prints CPU seconds, seconds, and memory above imports, as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from pathlib import Path

for name in ("OMP", "MKL", "OPENBLAS"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402 - reads them when it is imported


def peak() -> int:
    """The most memory that was resident since the last `forget`, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) * 1024


def forget() -> int:
    """Take what is resident now as the most; return it."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")
    return peak()


def main(step: str, folder: Path) -> None:
    import pandas  # noqa: F401 - pyarrow imports it the first time it makes a numpy array

    if step in ("notebook", "newer"):
        import analysis_notebook

        run = getattr(analysis_notebook, step)
    else:
        import analysis_ours
        import pyarrow as pa
        import torch

        torch.set_num_threads(1)
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        run = getattr(analysis_ours, step)
        with contextlib.suppress(ImportError):  # with the extra `fast`, sketches are made by it
            import numba  # noqa: F401
        # What a library loads when it first multiplies is an import too.
        torch.linalg.eigvalsh(torch.ones(9, 8192, dtype=torch.float64) @ torch.ones(8192, 9, dtype=torch.float64))
    np.linalg.eigvalsh(np.eye(9) @ np.eye(9))
    before = forget()
    cpu, wall = time.process_time(), time.perf_counter()
    found = run(folder)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
    np.savez(folder / f"{step}.npz", **arrays)
    numbers = {name: value for name, value in found.items() if not isinstance(value, np.ndarray)}
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": peak() - before, **numbers}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
