"""Checkpoints for tests: small networks with known weights, and ways to read a dataset back."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from filtercrawl.dataset.files.table_files import files_of

State = dict[str, torch.Tensor]


def state(seed: int = 0, width: int = 4) -> State:
    """The state dict of a small network: 3x3, depthwise 5x5, pointwise and the usual rest."""
    generator = torch.Generator().manual_seed(seed)

    def made(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "stem.weight": made(width, 3, 3, 3),
        "stem.bias": made(width),
        "norm1.weight": made(width),
        "norm1.running_mean": made(width),
        "mix.weight": made(width, width, 1, 1),
        "deep.weight": made(width, 1, 5, 5),
        "head.weight": made(10, width),
        "head.bias": made(10),
    }


def put(path: Path, tensors: State) -> Path:
    """Write a safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def table(dataset: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a table, of all its parts."""
    return [row for path in files_of(dataset, name) for row in pq.read_table(path).to_pylist()]


def models(dataset: Path) -> dict[str, dict[str, Any]]:
    return {row["model_id"]: row for row in table(dataset, "models")}


def layers(dataset: Path) -> dict[str, np.ndarray]:
    """Every stored layer by its id, parts joined, in its shape."""
    rows = [
        row for path in sorted((dataset / "data/layers").rglob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    found: dict[str, list[np.ndarray]] = {}
    for row in sorted(rows, key=lambda row: (row["layer_id"], row["part"])):
        found.setdefault(row["layer_id"], []).append(np.array(row["weight"], np.float32).reshape(row["shape"]))
    return {layer_id: np.concatenate(parts) for layer_id, parts in found.items()}


def published(dataset: Path) -> dict[str, str]:
    """The sha256 of every file of the data that would be published, by path."""
    return {
        path.relative_to(dataset).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(dataset.rglob("*"))
        if path.is_file()
        and ".filtercrawl" not in path.parts
        and path.relative_to(dataset).as_posix() not in ABOUT_RUNS
    }
