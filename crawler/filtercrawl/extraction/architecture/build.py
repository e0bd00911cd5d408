"""Build a checkpoint's network and return its structure."""

from __future__ import annotations

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.source import Source, SupportsBuild, SupportsSampleInput
from filtercrawl.extraction.architecture.facts import Structure
from filtercrawl.extraction.architecture.isolation import isolated_model_code
from filtercrawl.extraction.architecture.trace import structure_from_modules, trace


def structure_of(
    source: Source | None, checkpoint: Checkpoint, *, run: bool = True, seconds: float = 120.0
) -> Structure | None:
    """Let a source build the network of its checkpoint, and trace it.

    A network that cannot be built gives a structure without facts whose `problem` says why; nothing is raised.

    Args:
        source: The source of the checkpoint.
        checkpoint: The checkpoint.
        run: False for what the modules alone prove, which takes a third of the time.
        seconds: Time limit for tracing.

    Returns:
        The structure; None if the source builds no networks.
    """
    builder: object = source
    if not isinstance(builder, SupportsBuild):
        return None
    try:
        with isolated_model_code():
            module = builder.build(checkpoint)
            sample = builder.sample(checkpoint, module) if isinstance(builder, SupportsSampleInput) else None
    except Exception as error:  # noqa: BLE001 - constructors are other people's code; a checkpoint is read without them
        text = " ".join(str(error).split())[:300]
        return Structure(problem=f"cannot be built: {type(error).__name__}: {text}")
    return trace(module, sample, seconds=seconds) if run else structure_from_modules(module)
