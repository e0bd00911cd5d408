"""A sharded checkpoint of any size that takes little disk: zeros that a file system does not store."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

# A small layer, an ordinary one, two of several parts, one with a single filter, and one that has no kernels.
SHAPES = (
    (64, 64, 3, 3), (512, 512, 3, 3), (1280, 1280, 3, 3), (2048, 1024, 3, 3), (1, 512, 64, 64), (4096, 4096, 1, 1),
)  # fmt: skip


def generate_sharded(folder: Path, size: float, shard_size: float, seed: int = 0) -> int:
    """Write an index and its shards, about `size` bytes in all, with tensors in random order.

    Args:
        folder: Where the files are put.
        size: Bytes of all shards.
        shard_size: Bytes of a shard, at most, unless a single tensor has more.
        seed: Of the order.

    Returns:
        The number of layers with kernels.
    """
    shuffled = random.Random(seed)
    tensors = list(_tensors(size))
    shuffled.shuffle(tensors)
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    held = 0
    for name, shape in tensors:
        if shards[-1] and held + 4 * math.prod(shape) > shard_size:
            shards.append({})
            held = 0
        shards[-1][name] = shape
        held += 4 * math.prod(shape)
    weight_map = {}
    for number, shapes in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_zeros(folder / file, shapes)
        weight_map.update(dict.fromkeys(shapes, file))
    entries = list(weight_map.items())
    shuffled.shuffle(entries)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(entries)}))
    return sum(shape[2:] != (1, 1) for _, shape in tensors)


def _tensors(size: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    number = 0
    while size > 0:
        shape = SHAPES[number % len(SHAPES)]
        yield f"layers.{number}.weight", shape
        size -= 4 * math.prod(shape)
        number += 1


def _write_zeros(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        stop = end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, stop]}
        end = stop
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
