"""Inspect one checkpoint, or the architecture that a selector names, without writing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import FormatError, UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import SupportsBuild, SupportsLookup, find_reader
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings
from filtercrawl.dataset.tables.index_row import index_row
from filtercrawl.extraction.architecture import structure_of, structure_rows
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.crawl import attach_architecture
from filtercrawl.pipeline.discovery.discover import DiscoveryContext, discover
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.transport import network

_FACTS: Final = (
    "layer", "op", "kernel", "groups", "depthwise", "n_kernels", "weight_kind", "operator_verified", "stride",
    "padding", "dilation", "conv_depth",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The tensors of one checkpoint and what a sync would do with them.

    Attributes:
        name: Name of the checkpoint.
        format: Name of the reader.
        tensors: A row for each tensor; those of convolutions have the columns of `index`, such as `op` and `kernel`.
    """

    name: str
    format: str
    tensors: tuple[dict[str, Any], ...]


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
        checkpoint = select_checkpoint(text, selector, plugins, settings, network(settings.network))
    structure = structure_of(source, checkpoint)
    if structure is None or (structure.problem is not None and not structure.facts):
        raise UsageError(f"{text}: {structure.problem if structure else 'is not built by its source'}")
    return structure_rows(structure)


def select_checkpoint(
    text: str, selector: Selector, plugins: Plugins, settings: Settings, transport: Transport
) -> Checkpoint:
    """Return the one checkpoint that a selector names.

    Raises:
        UsageError: The selector names no checkpoint, or several.
    """
    context = DiscoveryContext(plugins=plugins, transport=transport, settings=settings.sources)
    listing = discover([selector], context)[0]
    if len(listing.checkpoints) != 1:
        some = ", ".join(checkpoint.name for checkpoint in listing.checkpoints[:3])
        names = f"{len(listing.checkpoints)} checkpoints ({some}, ...); name one" if some else "no checkpoint"
        raise UsageError(f"{text}: names {names}" + (f" ({listing.problem})" if listing.problem else ""))
    return listing.checkpoints[0]


def inspect(text: str, plugins: Plugins, settings: Settings) -> Inspection:
    """Read the one checkpoint that a selector names.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        CheckpointError: The checkpoint cannot be read.
    """
    selector = Selector.parse(text, plugins)
    transport = network(settings.network)
    checkpoint = select_checkpoint(text, selector, plugins, settings, transport)
    source = plugins.sources[selector.source]
    with CheckpointFiles(checkpoint, plugins.readers, transport, source) as files:
        reader = find_reader(plugins.readers, files.main)
        if reader is None:
            raise FormatError(f"{files.main.name}: no reader claims this file")
        tensors, _ = attach_architecture(source, checkpoint, tuple(reader.tensors(files)))
        notes = {tensor.name: list(tensor.notes) for tensor in tensors}
        classified = classify_tensors(tensors, settings.kernel_size, checkpoint.prefix)
    layers = {
        layer.tensor.name: index_row(f"{selector.source}/{checkpoint.name}", selector.source, layer)
        for layer in classified.layers
    }
    return Inspection(
        name=checkpoint.name,
        format=reader.name,
        tensors=tuple(
            {
                "tensor": entry.tensor,
                "shape": list(entry.shape),
                "dtype": entry.dtype,
                "outcome": "skipped" if entry.reason else "emitted",
                "reason": entry.reason,
                "notes": notes[entry.tensor],
                **{fact: getattr(layers.get(entry.tensor), fact, None) for fact in _FACTS},
            }
            for entry in classified.ledger
        ),
    )
