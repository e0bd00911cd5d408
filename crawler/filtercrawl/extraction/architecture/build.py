"""From a checkpoint's record to the structure of its network."""

from __future__ import annotations

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.source import Source, SupportsBuild, SupportsSampleInput
from filtercrawl.extraction.architecture.facts import Structure
from filtercrawl.extraction.architecture.isolation import isolated_model_code
from filtercrawl.extraction.architecture.trace import structure_from_modules, trace


def structure_of(
    source: Source | None, checkpoint: Checkpoint, *, run: bool = True, seconds: float = 120.0
) -> Structure | None:
    """Let a source build the network of its checkpoint and trace it; None where the source builds none.

    run: False for what its modules alone prove, which takes a third of the time.

    Raises nothing: a network that cannot be built is a structure without facts whose problem says why.
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
