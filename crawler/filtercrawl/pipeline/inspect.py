"""Inspect one checkpoint, or the architecture that a selector names, without writing anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import SupportsBuild, SupportsLookup
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings
from filtercrawl.config.source_tables import check_source_tables
from filtercrawl.pipeline.discovery.discover import Discovery
from filtercrawl.pipeline.discovery.file_questions import FileReaders
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.engines.processes.make import WorkerProcesses, worker_processes
from filtercrawl.pipeline.inspection import Inspection, InspectionRequest
from filtercrawl.transport import network

# Checkpoints that are named where a selector names several.
_MAX_NAMED: Final = 3


def inspect_structure(text: str, plugins: Plugins, settings: Settings) -> list[dict[str, Any]]:
    """Return a row for each layer of the architecture that a selector names; reads no weights.

    Raises:
        UsageError: The source builds no networks, or does not know this one.
    """
    selector = Selector.parse(text, plugins)
    source = plugins.sources[selector.source]
    if not isinstance(source, SupportsBuild):
        raise UsageError(f"{text}: the source {selector.source} builds no networks; timm and torchvision do")
    checkpoint = source.recall(selector.pattern or "") if isinstance(source, SupportsLookup) else None
    if checkpoint is None:
        checkpoint = select_checkpoint(text, plugins, settings, network(settings.network))
    from filtercrawl.extraction.architecture import structure_of, structure_rows  # imports torch

    structure = structure_of(source, checkpoint)
    if structure is None or (structure.problem is not None and not structure.facts):
        raise UsageError(f"{text}: {structure.problem if structure else 'is not built by its source'}")
    return structure_rows(structure)


def select_checkpoint(
    text: str,
    plugins: Plugins,
    settings: Settings,
    transport: Transport,
    readers: FileReaders | None = None,
) -> Checkpoint:
    """Return the one checkpoint that a selector names.

    Args:
        text: The selector.
        plugins: Sources and readers.
        settings: Settings of the sources.
        transport: Network access.
        readers: Answer what the file is; None for those of this process.

    Raises:
        UsageError: The selector names no checkpoint, or several.
    """
    check_source_tables(settings.sources, plugins)
    discovery = Discovery(plugins=plugins, transport=transport, settings=settings.sources, readers=readers)
    (listing,) = discovery.list_all([Selector.parse(text, plugins)])
    if len(listing.checkpoints) != 1:
        some = [checkpoint.name for checkpoint in listing.checkpoints[:_MAX_NAMED]]
        if len(listing.checkpoints) > len(some):
            some.append("...")
        names = f"{len(listing.checkpoints)} checkpoints ({', '.join(some)}); name one" if some else "no checkpoint"
        raise UsageError(f"{text}: names {names}" + (f" ({listing.problem})" if listing.problem else ""))
    return listing.checkpoints[0]


def inspect(text: str, plugins: Plugins, settings: Settings) -> Inspection:
    """Read the header of the one checkpoint that a selector names, with the checks that a sync makes.

    A worker process reads, within the limits of the settings, unless the engine is `threads`.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        CheckpointError: The checkpoint cannot be read, or the tables cannot hold what it states.
        NetworkError: A server does not answer.
    """
    with open_one(text, plugins, settings) as (request, workers):
        if workers is None:
            return _inspect(plugins, request)
        return workers.call(_inspect, request, name=request.checkpoint.name, local=request.is_local)


@contextmanager
def open_one(
    text: str, plugins: Plugins, settings: Settings
) -> Iterator[tuple[InspectionRequest, WorkerProcesses | None]]:
    """Find the one checkpoint that a selector names, and have a worker process ready that reads it.

    Args:
        text: The selector.
        plugins: Sources and readers.
        settings: Which kernels to keep, how to reach the network, and limits.

    Yields:
        What is to be read, and the worker; None for it with the engine `threads`, with which this process reads.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        NetworkError: A server does not answer.
    """
    engine = settings.engine if settings.engine == "threads" else "local"
    alone = replace(settings, engine=engine, jobs=1, device="cpu")
    with worker_processes(alone, plugins, CancellationToken()) as workers:
        readers = None if workers is None else workers.readers()
        request = InspectionRequest(
            checkpoint=select_checkpoint(text, plugins, settings, network(settings.network), readers),
            source=Selector.parse(text, plugins).source,
            kernel_size=settings.kernel_size,
            network=settings.network,
            reading_seconds=None if workers is None else settings.reading_limit,
        )
        yield request, workers


def _inspect(plugins: Plugins, request: InspectionRequest) -> Inspection:
    from filtercrawl.pipeline.crawling.inspect_checkpoint import inspect_checkpoint  # imports torch

    return inspect_checkpoint(plugins, request)
