"""A safetensors file of any size, for the tests of memory."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np


def generate(path: Path, size: float) -> int:
    """Write a safetensors file of about `size` bytes, in pieces; returns the number of layers with kernels."""
    shapes: list[tuple[str, tuple[int, ...]]] = [
        ("F32", (512, 512, 3, 3)), ("F32", (1024, 1, 31, 31)), ("F32", (2048, 512, 1, 1)), ("F32", (512, 512, 5, 5)),
        ("F32", (64, 64, 3, 3)), ("F16", (1280, 2560, 3, 3)), ("F16", (1280, 1280, 3, 3)),
    ]  # fmt: skip
    if size > 2e9:
        shapes.append(("F32", (4096, 4096, 3, 3)))
    header: dict[str, object] = {}
    end = kernels = 0
    while end < size:
        dtype, shape = shapes[len(header) % len(shapes)]
        stop = end + math.prod(shape) * int(dtype[1:]) // 8
        header[f"layers.{len(header)}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [end, stop]}
        end, kernels = stop, kernels + (shape[2:] != (1, 1))
    text = json.dumps(header).encode()
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while end > 0:
            # Ordinary numbers, whether two bytes of it are looked at or four.
            block = random.standard_normal(2_000_000, np.float32).astype(np.float16).tobytes()[:end]
            file.write(block)
            end -= len(block)
    return kernels
