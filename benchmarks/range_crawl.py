"""Crawls checkpoints over the network as a run does, and downloads them whole to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import torch
from range_cap import fetch
from range_files import Written

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.range_file import prefetch
from filtercrawl.api.reader import Reader, find_reader
from filtercrawl.api.transport import Transport
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.config import Settings
from filtercrawl.dataset.tables.staged_layers import n_parts
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.to_float32 import to_float32
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.weighted_semaphore import WeightedSemaphore
from filtercrawl.pipeline.engines.engine import n_crawled
from filtercrawl.transport import network
from filtercrawl.transport.options import TransportOptions

READERS: Final[tuple[Reader, ...]] = load_plugins().readers
# As many checkpoints at a time as a run has in hand, and as it writes.
IN_HAND: Final = n_crawled(Settings().jobs)
JOBS: Final = Settings().jobs
_DEVICE: Final = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """How requests are made. gap: bytes that are fetched rather than asked around, None for what the planner thinks."""

    gap: int | None = None
    per_host: int = TransportOptions().max_concurrent

    @property
    def joining(self) -> str:
        """What is done about gaps, in a word."""
        return "planned" if self.gap is None else f"{self.gap // 1024} KiB"

    def transport(self) -> Transport:
        """A new transport, which has measured nothing yet."""
        return network(options=TransportOptions(max_concurrent=self.per_host, fixed_gap=self.gap))


def remote(written: Written, url: str, copy: int = 0) -> tuple[RemoteFile, ...]:
    """The files of a checkpoint as a source lists them, the main one first; a copy has addresses of its own."""
    paths = [written.main, *(path for path in written.sizes if path != written.main)]
    return tuple(
        RemoteFile(url=f"{url}/copies/{copy}/{path}", size=written.sizes[path], path=f"{copy}/{path}") for path in paths
    )


def crawl_one(
    files: tuple[RemoteFile, ...],
    policy: KernelPolicy,
    transport: Transport,
    structured: Callable[[], object] = lambda: None,
    desks: WeightedSemaphore | None = None,
) -> int:
    """Read the structure of one checkpoint and then every kernel, as `crawl.read` and `shard.write` do.

    structured: called between the two. Returns the bytes of the kernels as they are stored. Nothing is hashed: the
    source is taken to state a sha256.
    """
    checkpoint = Checkpoint(name=files[0].path or files[0].url, files=files)
    with CheckpointFiles(checkpoint, READERS, transport) as opened:
        reader = find_reader(READERS, opened.main)
        assert reader is not None, checkpoint.name
        extracted = classify_tensors(tuple(reader.tensors(opened)), policy)
        structured()
        spans = [layer.tensor.location.byte_span for layer in extracted.emitted if layer.tensor.location]
        prefetch(spans)
        with (desks or WeightedSemaphore(1)).acquire(1):
            for layer in sorted(extracted.emitted, key=lambda layer: layer.kernel):
                for start, stop in n_parts(layer.shape) * (1 if len(n_parts(layer.shape)) == 1 else 2):
                    to_float32(layer, start, stop, _DEVICE)  # long ones twice, as their hash comes first
        opened.check_unchanged()
        return sum(span.stop - span.start for span in spans)


def crawl_batch(batch: Sequence[tuple[RemoteFile, ...]], policy: KernelPolicy, knobs: Knobs) -> int:
    """Crawl checkpoints, several at a time over one transport; returns the bytes of their kernels."""
    transport, desks = knobs.transport(), WeightedSemaphore(JOBS)
    # One thread of torch each, as a run's workers have.
    with ThreadPoolExecutor(IN_HAND, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return sum(pool.map(lambda files: crawl_one(files, policy, transport, desks=desks), batch))


def download(batch: Sequence[tuple[RemoteFile, ...]], per_host: int) -> None:
    """GET every file whole, so many at a time."""
    fetch([(file.url, None) for files in batch for file in files], per_host)
