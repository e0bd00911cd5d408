"""What will be fetched of a checkpoint, as far as its architecture tells before a byte of it is read."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.range_file import LazyFile
from filtercrawl.api.source import Source
from filtercrawl.api.tensor import ITEMSIZE, StoredTensor, TensorLocation
from filtercrawl.api.vocabulary import KernelPolicy
from filtercrawl.dataset.schema.model_row import ContentKey
from filtercrawl.extraction.architecture import Structure, match_tensors, structure_of
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.planning.types import CrawlTask
from filtercrawl.transport import MeasuredTransport
from filtercrawl.transport.coalesce import plan_fetch
from filtercrawl.transport.link_model import LinkEstimate

# What readers look at first; headers of usual networks are not longer.
_HEAD = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """bytes, requests: to be fetched; size: of the files in full. in_full: every byte, for most are wanted.

    None means unknown; bytes are then at most what the files have.
    """

    bytes: int | None
    requests: int | None
    size: int | None
    in_full: bool = False


def estimate_cost(
    task: CrawlTask, known_contents: Container[ContentKey], source: Source | None, transport: MeasuredTransport
) -> CostEstimate:
    """Return what one checkpoint will cost, without asking for anything: its source may build its network."""
    checkpoint, known = task.checkpoint, task.previous
    sizes = [file.size for file in checkpoint.files]
    size = None if None in sizes else sum(number or 0 for number in sizes)
    main = checkpoint.files[0]
    if main.url.startswith("file:"):
        return CostEstimate(bytes=size, requests=0, size=size, in_full=True)
    if len(sizes) == 1 and main.sha256 and (main.sha256, checkpoint.prefix, task.policy) in known_contents:
        return CostEstimate(bytes=0, requests=0, size=size)
    structure = structure_of(source, checkpoint, run=False)
    found = (
        estimate_from_architecture(structure, checkpoint, task.policy, transport.link(main.url)) if structure else None
    )
    if found is not None:
        return found
    before = known.bytes_fetched if known is not None and known.kernel_policy == task.policy else None
    return CostEstimate(bytes=before or size, requests=None, size=size)


def estimate_from_architecture(
    structure: Structure, checkpoint: Checkpoint, policy: KernelPolicy, link: LinkEstimate
) -> CostEstimate | None:
    """Lay the tensors of an architecture out as its file will hold them, and choose requests as for the file itself.

    None where the architecture is not known, or where it cannot be that of the file, which has room for fewer numbers
    of one byte or for twice as many of eight.
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
    spans = [layer.tensor.location.byte_span for layer in layers if layer.tensor.location is not None]
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
    """Yield tensors one behind the other at the end of the file, in the order in which its format keeps them."""
    names = list(structure.facts)
    if PurePosixPath(checkpoint.files[0].path or checkpoint.files[0].url).suffix == ".safetensors":
        names.sort()  # as its own library writes them
    total = sum(math.prod(structure.facts[name].shape) for name in names) * ITEMSIZE[dtype]
    place = LazyFile(max(size, total), bytes, "expected")  # of which only places are asked
    offset = max(size - total, 0)
    for name in names:
        shape = structure.facts[name].shape
        extent = TensorLocation(file=place, offset=offset, dtype=dtype, shape=shape)
        yield StoredTensor(name=name, key=name, shape=shape, dtype=dtype, location=extent)
        offset += math.prod(shape) * ITEMSIZE[dtype]
