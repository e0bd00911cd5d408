"""Inspect one checkpoint, or the architecture that a selector names, without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import escape_control, format_count, format_plural, shorten
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.reader import read_content
from filtercrawl.api.source import SupportsBuild, SupportsLookup
from filtercrawl.api.transport import Transport
from filtercrawl.config import Settings
from filtercrawl.config.source_tables import check_source_tables
from filtercrawl.dataset.schema.arrow import INDEX, MODELS
from filtercrawl.dataset.schema.validation import RowCheck
from filtercrawl.dataset.tables.staged_layers import index_row
from filtercrawl.display import html_table
from filtercrawl.extraction.architecture import structure_of, structure_rows
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.plan import plan_recipes
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.extract import attach_architecture, warn_of_part
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.discovery.discover import Discovery
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.transport import network

_FACTS: Final = (
    "layer", "op", "kernel", "groups", "depthwise", "n_kernels", "weight_kind", "operator_verified", "stride",
    "padding", "dilation", "conv_depth",
)  # fmt: skip

# Width of the column of names, and characters of a cell, which a file may want to be longer.
_NAME_WIDTH: Final = 70
_MAX_CELL: Final = 120
# Checkpoints that are named where a selector names several.
_MAX_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The tensors of one checkpoint and what a sync would do with them.

    Attributes:
        name: Name of the checkpoint.
        format: Name of the reader.
        tensors: For each tensor its name, shape, dtype, outcome, reason, rule and notes; those of convolutions also
            have the columns of `index`, such as `op` and `kernel`. `rule` is the short name of the rule that decided.
            `effective_steps` says what the network does to a weight before it convolves with it, None for nothing that
            is known; `merged_into` is the tensor whose kernel a branch is added to.
        code: Functions that loading the file elsewhere would run.
    """

    name: str
    format: str
    tensors: tuple[dict[str, Any], ...]
    code: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the output of `filtercrawl inspect --json`."""
        return {"name": self.name, "format": self.format, "code": list(self.code), "tensors": list(self.tensors)}

    def __str__(self) -> str:
        lines = [f"{escape_control(self.name)}: {self.format}, {format_plural(len(self.tensors), 'tensor')}"]
        width = min(max((len(row["tensor"]) for row in self.tensors), default=0), _NAME_WIDTH)
        if self.tensors:
            lines.append(f"  {'tensor':<{width}}  {'shape':<18} {'dtype':<9} {'rule':<19} outcome")
        for row in self.tensors:
            shape = shorten("x".join(map(str, row["shape"])) or "scalar", _MAX_CELL)
            notes = f" ({shorten(', '.join(row['notes']), _MAX_CELL)})" if row["notes"] else ""
            name = shorten(row["tensor"], _MAX_CELL)
            verdict = f"{row['rule'] or '-':<19} {_verdict(row)}{notes}"
            lines.append(escape_control(f"  {name:<{width}}  {shape:<18} {shorten(row['dtype'], 16):<9} {verdict}"))
        if self.code:
            lines.append(f"names {', '.join(self.code)}; not run")
        totals = Counter(row["reason"] or "emitted" for row in self.tensors)
        lines.append(", ".join(f"{count:,} {word}" for word, count in totals.most_common()))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        totals = Counter(row["reason"] or "emitted" for row in self.tensors)
        counts = {word: format_count(count) for word, count in totals.most_common()}
        emitted = {row["tensor"]: _verdict(row) for row in self.tensors if row["outcome"] == "emitted"}
        return html_table(f"{self.name}: {self.format}", counts) + html_table("emitted", emitted)


def _verdict(row: Mapping[str, Any]) -> str:
    """Say in a few words what becomes of a tensor."""
    verdict = f"emitted as {row['op']} {row['kernel']}" if row["outcome"] == "emitted" else f"skipped: {row['reason']}"
    if row["effective_steps"]:
        verdict += f"; effective: {', '.join(row['effective_steps'])}"
    branch = row["merged_into"]
    return verdict if branch is None else f"{verdict}; a branch of {shorten(branch, _MAX_CELL)}"


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
    check_source_tables(settings.sources, plugins)
    (listing,) = Discovery(plugins=plugins, transport=transport, settings=settings.sources).list_all([selector])
    if len(listing.checkpoints) != 1:
        some = [checkpoint.name for checkpoint in listing.checkpoints[:_MAX_NAMED]]
        if len(listing.checkpoints) > len(some):
            some.append("...")
        names = f"{len(listing.checkpoints)} checkpoints ({', '.join(some)}); name one" if some else "no checkpoint"
        raise UsageError(f"{text}: names {names}" + (f" ({listing.problem})" if listing.problem else ""))
    return listing.checkpoints[0]


def inspect(text: str, plugins: Plugins, settings: Settings) -> Inspection:
    """Read the header of the one checkpoint that a selector names, with the checks that a sync makes.

    Raises:
        UsageError: The selector names no checkpoint, or several.
        CheckpointError: The checkpoint cannot be read, or the tables cannot hold what it states.
    """
    selector = Selector.parse(text, plugins)
    transport = network(settings.network)
    checkpoint = select_checkpoint(text, selector, plugins, settings, transport)
    source = plugins.sources[selector.source]
    with CheckpointFiles(checkpoint, plugins.readers, transport, source) as files:
        reader = files.reader()
        content = read_content(reader, files)
        stored = content.tensors
        warn_of_part(files.main.name)
        tensors, _ = attach_architecture(*architecture_of(source, checkpoint, plugins.sources), stored)
        notes = {tensor.name: list(tensor.notes) for tensor in tensors}
        classified = classify_tensors(tensors, settings.kernel_size, checkpoint.prefix)
        RowCheck(MODELS).require(files.main.name, {"num_params": classified.num_params})
    plans = plan_recipes(classified.layers, tensors)
    steps = {plan.layer.tensor.name: list(plan.steps) for plan in plans}
    merged = ((plan.layer.tensor.name, plan.block.layers) for plan in plans if plan.block is not None)
    branches = {layer.tensor.name: main for main, layers in merged for layer in layers if layer.tensor.name != main}
    layers = {
        layer.tensor.name: index_row(f"{selector.source}/{checkpoint.name}", selector.source, layer)
        for layer in classified.layers
    }
    check = RowCheck(INDEX)
    for row in layers.values():
        check.require(row.layer_id, row.to_arrow())
    return Inspection(
        name=checkpoint.name,
        format=reader.name,
        code=content.code,
        tensors=tuple(
            {
                "tensor": entry.tensor,
                "shape": list(entry.shape),
                "dtype": entry.dtype,
                "outcome": "skipped" if entry.reason else "emitted",
                "reason": entry.reason,
                "rule": entry.rule,
                "notes": notes[entry.tensor],
                "effective_steps": steps.get(entry.tensor),
                "merged_into": branches.get(entry.tensor),
                **{fact: getattr(layers.get(entry.tensor), fact, None) for fact in _FACTS},
            }
            for entry in classified.ledger
        ),
    )
