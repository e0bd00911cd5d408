"""From a checkpoint's record to the structure of its network."""

from __future__ import annotations

from filtercrawl.checkpoint import Builds, Checkpoint, Feeds, Source
from filtercrawl.structure.facts import Structure
from filtercrawl.structure.quiet import quiet
from filtercrawl.structure.trace import trace


def structure_of(source: Source, checkpoint: Checkpoint, *, seconds: float = 120.0) -> Structure | None:
    """Let a source build the network of its checkpoint and trace it; None where the source builds none.

    Raises nothing: a network that cannot be built is a structure without facts whose problem says why.
    """
    if not isinstance(source, Builds):
        return None
    try:
        with quiet():
            module = source.build(checkpoint)
            sample = source.sample(checkpoint, module) if isinstance(source, Feeds) else None
    except Exception as error:  # noqa: BLE001 - constructors are other people's code; a checkpoint is read without them
        text = " ".join(str(error).split())[:300]
        return Structure(problem=f"cannot be built: {type(error).__name__}: {text}")
    return trace(module, sample, seconds=seconds)
