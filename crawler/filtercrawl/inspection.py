"""Look into one checkpoint without writing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from filtercrawl.discover import Scout, discover
from filtercrawl.errors import FormatError, UsageError
from filtercrawl.extract import extract
from filtercrawl.files import CheckpointFiles, claimant
from filtercrawl.manager import Plugins
from filtercrawl.selector import Selector
from filtercrawl.settings import Settings
from filtercrawl.shard import describe
from filtercrawl.transport import network


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """One checkpoint's ledger. tensors: a row each, with op, kernel, groups and the like where it is a convolution."""

    name: str
    format: str
    tensors: tuple[dict[str, Any], ...]


def inspect(text: str, plugins: Plugins, settings: Settings) -> Inspection:
    """Read the one checkpoint that a selector names; raises UsageError where it names none or several."""
    selector = Selector.parse(text, plugins)
    scout = Scout(plugins=plugins, transport=network(), settings=settings.sources)
    listing = discover([selector], scout)[0]
    if len(listing.checkpoints) != 1:
        some = ", ".join(checkpoint.name for checkpoint in listing.checkpoints[:3])
        found = f"{len(listing.checkpoints)} checkpoints ({some}, ...); name one" if some else "no checkpoint"
        raise UsageError(f"{text}: names {found}" + (f" ({listing.problem})" if listing.problem else ""))
    checkpoint = listing.checkpoints[0]
    with CheckpointFiles(checkpoint, plugins.readers) as files:
        reader = claimant(plugins.readers, files.main)
        if reader is None:
            raise FormatError(f"{files.main.name}: no reader claims this file")
        extracted = extract(reader.tensors(files), settings.kernel_size, checkpoint.prefix)
    layers = {
        layer.tensor.name: describe(f"{selector.source}/{checkpoint.name}", selector.source, layer)
        for layer in extracted.layers
    }
    facts = (
        "layer",
        "op",
        "kernel",
        "groups",
        "depthwise",
        "n_kernels",
        "weight_kind",
        "operator_verified",
        "stride",
        "padding",
        "dilation",
    )
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
                **{fact: layers.get(entry.tensor, {}).get(fact) for fact in facts},
            }
            for entry in extracted.ledger
        ),
    )
