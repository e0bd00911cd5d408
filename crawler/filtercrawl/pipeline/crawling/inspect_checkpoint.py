"""Read the header of one checkpoint and tell what a sync would do with each of its tensors."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Final

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.reader import read_content
from filtercrawl.dataset.schema.arrow import INDEX, MODELS
from filtercrawl.dataset.schema.validation import RowCheck
from filtercrawl.dataset.tables.staged_layers import index_row
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.effective.plan import plan_recipes
from filtercrawl.pipeline.crawling.checkpoint_files import CheckpointFiles
from filtercrawl.pipeline.crawling.extract import attach_architecture, warn_of_part
from filtercrawl.pipeline.crawling.reading_limit import ReadingLimit
from filtercrawl.pipeline.discovery.architectures import architecture_of
from filtercrawl.pipeline.inspection import Inspection, InspectionRequest
from filtercrawl.transport import network

_FACTS: Final = (
    "layer", "op", "kernel", "groups", "depthwise", "n_kernels", "weight_kind", "operator_verified", "stride",
    "padding", "dilation", "conv_depth",
)  # fmt: skip


def inspect_checkpoint(plugins: Plugins, request: InspectionRequest) -> Inspection:
    """Read the header of a checkpoint, with the checks that a sync makes.

    Raises:
        CheckpointError: The checkpoint cannot be read, or the tables cannot hold what it states.
        NetworkError: A server does not answer.
    """
    checkpoint, seconds = request.checkpoint, request.reading_seconds
    source = plugins.sources[request.source]
    with CheckpointFiles(checkpoint, plugins.readers, network(request.network), source) as files:
        with nullcontext() if seconds is None else ReadingLimit(seconds, files.size):
            reader = files.reader()
            content = read_content(reader, files)
        warn_of_part(files.main.name)
        tensors, _ = attach_architecture(*architecture_of(source, checkpoint, plugins.sources), content.tensors)
        notes = {tensor.name: list(tensor.notes) for tensor in tensors}
        classified = classify_tensors(tensors, request.kernel_size, checkpoint.prefix)
        RowCheck(MODELS).require(files.main.name, {"num_params": classified.num_params})
    plans = plan_recipes(classified.layers, tensors)
    steps = {plan.layer.tensor.name: list(plan.steps) for plan in plans}
    merged = ((plan.layer.tensor.name, plan.block.layers) for plan in plans if plan.block is not None)
    branches = {layer.tensor.name: main for main, layers in merged for layer in layers if layer.tensor.name != main}
    layers = {
        layer.tensor.name: index_row(f"{request.source}/{checkpoint.name}", request.source, layer)
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
