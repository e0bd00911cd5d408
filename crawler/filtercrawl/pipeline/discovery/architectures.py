"""Architectures that are stated for a checkpoint and that another source builds: `timm/resnet18`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.errors import UsageError
from filtercrawl.api.source import Source, SupportsLookup, unavailable


def architecture_of(
    source: Source | None, checkpoint: Checkpoint, sources: Mapping[str, Source]
) -> tuple[Source | None, Checkpoint]:
    """Return the source that builds the network of a checkpoint, and the record by which it knows the architecture.

    Args:
        source: The source of the checkpoint.
        checkpoint: The checkpoint; its `arch` may name another source.
        sources: Sources by name.

    Raises:
        UsageError: No source is named so, it cannot be used here, or it does not know the architecture without network
            access.
    """
    if checkpoint.arch is None:
        return source, checkpoint
    name, known = checkpoint.arch.partition("/")[0], _recall(checkpoint.arch, sources)
    if name in sources and (reason := unavailable(sources[name])):
        raise UsageError(f"{checkpoint.name}: the architecture {checkpoint.arch!r} {reason}")
    if known is None:
        able = ", ".join(sorted(name for name, other in sources.items() if _can_recall(other)))
        raise UsageError(
            f"{checkpoint.name}: no source knows the architecture {checkpoint.arch!r}; these know some: {able}"
        )
    return sources[name], replace(known, name=checkpoint.name, prefix=checkpoint.prefix)


def with_architecture(checkpoint: Checkpoint, sources: Mapping[str, Source]) -> Checkpoint:
    """Add what the source of a stated architecture says of it, where the source of the checkpoint says nothing."""
    known = None if checkpoint.arch is None else _recall(checkpoint.arch, sources)
    if known is None:
        return checkpoint
    meta = checkpoint.meta
    changed = replace(
        meta,
        architecture=meta.architecture or known.meta.architecture,
        family=meta.family or known.meta.family,
    )
    return replace(checkpoint, meta=changed)


def _recall(arch: str, sources: Mapping[str, Source]) -> Checkpoint | None:
    name, _, architecture = arch.partition("/")
    source = sources.get(name)
    if source is None or unavailable(source):
        return None
    builder: object = source
    return builder.recall(architecture) if isinstance(builder, SupportsLookup) else None


def _can_recall(source: object) -> bool:
    return isinstance(source, SupportsLookup)
