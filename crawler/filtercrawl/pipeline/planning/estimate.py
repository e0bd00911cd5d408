"""Estimate what crawling a checkpoint costs, from its architecture and before any byte of it is read."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.range_file import LazyFile
from filtercrawl.api.source import Source
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.extraction.architecture import Structure, match_tensors, structure_of
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.records import CrawlTask
from filtercrawl.transport import MeasuredTransport
from filtercrawl.transport.link_estimate import LinkEstimate
from filtercrawl.transport.range_planning import plan_fetch

# Bytes that readers read first; the headers of most networks are not longer.
_HEAD = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """What crawling one checkpoint is expected to cost.

    Attributes:
        bytes: Bytes to be fetched, an upper bound if `requests` is None; None if not even that is known.
        requests: Requests to be sent, None if unknown.
        size: Size of the files, None if unknown.
        in_full: Whether the files are fetched in full, since most of their bytes are needed.
    """

    bytes: int | None
    requests: int | None
    size: int | None
    in_full: bool = False


@dataclass(frozen=True, kw_only=True)
class CostEstimator:
    """Estimates what tasks will cost; sends no request, but may have a source build a network.

    Attributes:
        sources: Sources by name.
        transport: Knows the latency and bandwidth of hosts.
        known_contents: Contents that need not be read.
    """

    sources: Mapping[str, Source]
    transport: MeasuredTransport
    known_contents: Container[ContentKey]

    def estimate(self, task: CrawlTask) -> CostEstimate:
        """Estimate what one checkpoint will cost."""
        checkpoint, known = task.checkpoint, task.previous
        sizes = [file.size for file in checkpoint.files]
        size = None if None in sizes else sum(number or 0 for number in sizes)
        main = checkpoint.files[0]
        if main.url.startswith("file:"):
            return CostEstimate(bytes=size, requests=0, size=size, in_full=True)
        if len(sizes) == 1 and main.sha256 and (main.sha256, checkpoint.prefix, task.policy) in self.known_contents:
            return CostEstimate(bytes=0, requests=0, size=size)
        structure = structure_of(self.sources.get(task.source), checkpoint, run=False)
        if structure is not None:
            link = self.transport.link(main.url)
            found = estimate_from_architecture(structure, checkpoint, task.policy, link)
            if found is not None:
                return found
        before = known.bytes_fetched if known is not None and known.kernel_policy == task.policy else None
        return CostEstimate(bytes=before or size, requests=None, size=size)


def estimate_from_architecture(
    structure: Structure, checkpoint: Checkpoint, policy: KernelPolicy, link: LinkEstimate
) -> CostEstimate | None:
    """Plan the requests for a file from the architecture alone, as they are planned from its header later.

    The tensors are laid out as the file is expected to store them.

    Args:
        structure: The architecture.
        checkpoint: The checkpoint.
        policy: Which kernel sizes are kept.
        link: Latency and bandwidth of the host.

    Returns:
        The estimate; None if the architecture is not known or does not fit the file: its numbers do not fit at one
        byte each, or fill less than half of it at eight.
    """
    numbers = sum(math.prod(facts.shape) for facts in structure.facts.values())
    sizes = [file.size for file in checkpoint.files]
    stated = None if None in sizes else sum(size or 0 for size in sizes)
    if not numbers or (stated is not None and not numbers <= stated <= 16 * numbers):
        return None
    dtype = _dtype(numbers, stated)
    size = stated if stated is not None else numbers * ITEMSIZE[dtype] + _HEAD
    laid_out = tuple(_lay_out_tensors(structure, checkpoint, dtype, size))
    layers = classify_tensors(match_tensors(structure, laid_out).tensors, policy).emitted
    spans = [span for layer in layers for span in layer.spans]
    head = min(_HEAD, size)
    chosen = plan_fetch([(span.start, span.stop) for span in spans], [(head, size)], link)
    heads = len(checkpoint.files)
    return CostEstimate(
        bytes=min(chosen.bytes + head * heads, size),
        requests=len(chosen.ranges) + heads,
        size=size,
        in_full=chosen.is_full_file,
    )


def _dtype(numbers: int, size: int | None) -> str:
    return "float32" if size is None or size > 3 * numbers else "float16" if size > 1.5 * numbers else "float8_e4m3fn"


def _lay_out_tensors(structure: Structure, checkpoint: Checkpoint, dtype: str, size: int) -> Iterator[StoredTensor]:
    """Yield the tensors one after the other at the end of the file, in the order of its format."""
    names = list(structure.facts)
    if PurePosixPath(checkpoint.files[0].path or checkpoint.files[0].url).suffix == ".safetensors":
        names.sort()  # as the safetensors library writes them
    total = sum(math.prod(structure.facts[name].shape) for name in names) * ITEMSIZE[dtype]
    file = LazyFile(max(size, total), bytes, "expected")  # only locations in it are used
    offset = max(size - total, 0)
    for name in names:
        shape = structure.facts[name].shape
        location = TensorLocation(file=file, offset=offset, dtype=dtype, shape=shape)
        yield StoredTensor(name=name, key=name, shape=shape, dtype=dtype, location=location)
        offset += math.prod(shape) * ITEMSIZE[dtype]
