"""Checkpoints in several files: their heads come side by side, and every tensor in the order of the index."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
from safetensors.torch import save

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.transport.client import HttpTransport
from filtercrawl_plugins.readers.sharded import MAX_SHARDS, ShardedReader
from support.http_server import Answer, Asked, FileServer, ranged

SHARDS = 6


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


def test_the_heads_of_all_shards_are_asked_for_at_once(server: FileServer) -> None:
    """No shard is answered before all are asked for: one after the other would never end."""
    together = threading.Barrier(SHARDS, timeout=20)
    weights: dict[str, str] = {}
    files = []
    for number in range(SHARDS):
        path, name = f"{number}.safetensors", f"conv{number}.weight"
        # Long enough that the rest of the file is not worth taking with its head.
        data = save({name: torch.full((4, 2, 3, 3), number), f"linear{number}.weight": torch.zeros(1024, 4096)})
        weights |= {name: path, f"linear{number}.weight": path}
        waited = threading.Event()

        def answer(asked: Asked, data: bytes = data, waited: threading.Event = waited) -> Answer:
            if not waited.is_set():
                waited.set()
                together.wait()
            return ranged(asked, data, {"ETag": f'"{hash(data)}"'})

        files.append(RemoteFile(url=server.on(f"/{path}", answer), size=len(data), path=path))
    index = json.dumps({"weight_map": weights}).encode()
    main = RemoteFile(url=server.put("/index.json", index), size=len(index), path="index.json")
    checkpoint = Checkpoint(name="sharded", files=(main, *files))
    with (
        closing(HttpTransport()) as transport,
        CheckpointFiles(checkpoint, load_plugins().readers, transport) as opened,
    ):
        found = list(ShardedReader().tensors(opened))
        assert [tensor.name for tensor in found] == list(weights)
        assert not together.broken
        assert opened.bytes_read < SHARDS * 70_000 + len(index)


def test_an_index_of_more_files_than_any_checkpoint_has() -> None:
    weights = {str(number): f"{number}.safetensors" for number in range(MAX_SHARDS + 1)}
    file = MemoryFile(json.dumps({"weight_map": weights}).encode(), "x")
    with pytest.raises(UnsafeFileError, match=r"^x: weight_map names 16,385 files, at most 16,384 are supported$"):
        ShardedReader().companion_paths(file)
