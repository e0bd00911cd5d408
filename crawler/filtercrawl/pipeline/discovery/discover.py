"""List what each selector offers, and attach the companion files that a checkpoint's main file names."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from filtercrawl.api.checkpoint import (
    Checkpoint,
    CheckpointMetadata,
    Offer,
    PreviousState,
    RemoteFile,
    Skipped,
    TrainingRun,
    folder,
    local_path,
)
from filtercrawl.api.errors import Cancelled, UsageError, describe_error
from filtercrawl.api.format_names import FORMATS_WITHOUT_READER, format_name
from filtercrawl.api.hub_cache import may_link_to
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import LocalFile, file_version, relative_path
from filtercrawl.api.source import Query, Reader, SupportsSubfile, find_reader
from filtercrawl.api.transport import Transport
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.architectures import with_architecture
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.discovery.selector import Selector


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one selector offers.

    Attributes:
        selector: The selector.
        checkpoints: What may be crawled.
        skipped: What the source or an opt-out leaves out, with the reason.
        ignored: Number of files that hold no weights, by what they are.
        problem: Why the listing is not complete, None if it is.
        seconds: Time that the listing took.
    """

    selector: Selector
    checkpoints: tuple[Checkpoint, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DiscoveryContext:
    """Dependencies of discovery.

    Attributes:
        plugins: Installed sources, readers and visual categories.
        transport: Network access.
        settings: Settings of each source, by its name.
        previous_states: Rows of `models` by model id.
        opt_out: What may not be fetched.
        dry_run: Whether nothing will be read.
    """

    plugins: Plugins
    transport: Transport
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    previous_states: Mapping[str, ModelRow] = field(default_factory=dict)
    opt_out: OptOut = field(default_factory=OptOut)
    dry_run: bool = False


def discover(selectors: Sequence[Selector], context: DiscoveryContext) -> list[Listing]:
    """List every selector; a source that fails is reported in its listing and stops no other.

    Raises:
        UsageError: A source rejects its pattern.
    """
    return [attach_companions(list_selector(selector, context), context) for selector in dict.fromkeys(selectors)]


def list_selector(selector: Selector, context: DiscoveryContext) -> Listing:
    """List one selector until its source ends or fails.

    Raises:
        UsageError: The source rejects the pattern.
    """
    started = time.monotonic()
    checkpoints: list[Checkpoint] = []
    skipped: list[Skipped] = []
    names: set[str] = set()
    problem = None
    query = Query(
        pattern=selector.pattern,
        settings=context.settings.get(selector.source, {}),
        previous_states=previous_states(context.previous_states, selector.source),
        dry_run=context.dry_run,
    )
    try:
        for offer in context.plugins.sources[selector.source].checkpoints(context.transport, query):
            problem = validate_offer(offer, names)
            if problem:
                break
            names.add(offer.name)
            allowed = context.opt_out.skip_excluded(selector.source, offer)
            if isinstance(allowed, Checkpoint):
                known = with_architecture(allowed, context.plugins.sources)
                checkpoints.append(with_visual_category(known, context.plugins.visual_categories))
            else:
                skipped.append(allowed)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin's source may raise anything
        problem = describe_error(error)
    return Listing(
        selector=selector,
        checkpoints=tuple(checkpoints),
        skipped=tuple(skipped),
        problem=problem,
        seconds=time.monotonic() - started,
    )


def previous_states(rows: Mapping[str, ModelRow], source: str) -> dict[str, PreviousState]:
    """Return what the dataset knows of one source's checkpoints, so that the source need not ask again.

    Args:
        rows: Rows of `models` by model id.
        source: Name of the source.

    Returns:
        The state after the last attempt, also a failed one, by the name under which the source last offered it.
    """
    return {row.offered_as: _previous_state(row) for row in rows.values() if row.source == source}


def _previous_state(row: ModelRow) -> PreviousState:
    attempted = row.attempted_version
    run = TrainingRun(id=row.run_id, step=row.step, seed=row.seed, final=row.state.run_final)
    return PreviousState(
        revision=attempted.revision,
        etag=attempted.etag,
        outcome=row.outcome,
        reason=row.reason,
        meta=CheckpointMetadata(
            task=row.task,
            visual_category=row.visual_category,
            architecture=row.architecture,
            family=row.family,
            tag=row.tag,
            library=row.library,
            license=row.license,
            license_evidence=row.license_evidence,
            paper=row.paper,
            released=row.released,
            training_datasets=row.training_datasets or (),
            metrics=json.loads(row.metrics or "{}"),
            extra=json.loads(row.extra or "{}"),
        ),
        run=None if run == TrainingRun(id=None) else run,
    )


def with_visual_category(checkpoint: Checkpoint, categories: Mapping[str, str]) -> Checkpoint:
    """Add the visual category of the last training dataset, if a plugin knows it and the source does not say."""
    meta = checkpoint.meta
    if meta.visual_category is not None or not meta.training_datasets:
        return checkpoint
    return replace(checkpoint, meta=replace(meta, visual_category=categories.get(meta.training_datasets[-1])))


def validate_offer(offer: Offer | object, names: set[str]) -> str | None:
    """Return what is wrong with something that a source yielded, None if nothing is."""
    if not isinstance(offer, Checkpoint | Skipped):
        return f"yields {type(offer).__name__}, neither Checkpoint nor Skipped"
    if not isinstance(offer.name, str) or not offer.name or not offer.name.isprintable():
        return f"yields a checkpoint with the name {offer.name!r}"
    if offer.name in names:
        return f"yields two checkpoints named {offer.name!r}"
    if isinstance(offer, Checkpoint):
        is_valid = (
            isinstance(offer.files, tuple) and offer.files and all(isinstance(f, RemoteFile) for f in offer.files)
        )
        return None if is_valid else f"{offer.name}: files is not a tuple of RemoteFile with at least one"
    return None if isinstance(offer.reason, str) else f"{offer.name}: the reason of a Skipped is no text"


def attach_companions(listing: Listing, context: DiscoveryContext) -> Listing:
    """Attach companion files to local checkpoints, drop them from the listing, and ignore files without weights."""
    if isinstance(context.plugins.sources[listing.selector.source], SupportsSubfile):
        return listing  # such a source has looked into the files already
    kept: list[Checkpoint] = []
    companions: set[str] = set()
    ignored: dict[str, str] = {}
    for checkpoint in listing.checkpoints:
        known = context.previous_states.get(f"{listing.selector.source}/{checkpoint.name}")
        grouped = with_companions(checkpoint, context.plugins.readers, known)
        if isinstance(grouped, str):
            ignored[checkpoint.files[0].url] = grouped
            continue
        kept.append(grouped)
        main, *others = grouped.files
        companions.update(file.url for file in others if file.url != main.url)
    return replace(
        listing,
        checkpoints=tuple(c for c in kept if c.named or c.files[0].url not in companions),
        ignored=Counter(kind for url, kind in sorted(ignored.items()) if url not in companions),
    )


def with_companions(checkpoint: Checkpoint, readers: Sequence[Reader], known: ModelRow | None) -> Checkpoint | str:
    """Return a checkpoint with the companion files that its main file names, or what the file is if it has no weights.

    Only local files are opened, and only if they may have changed since the last run.
    """
    main = checkpoint.files[0]
    if len(checkpoint.files) > 1 or not main.url.startswith("file:"):
        return checkpoint
    before = (known.state.files if known is not None else None) or ()
    if before and main.etag is not None and before[0][1] == main.etag:
        paths = [path for path, _ in before[1:] if path is not None]
        return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    try:
        with LocalFile(local_path(main)) as file:
            reader = find_reader(readers, file)
            if reader is None:
                suffix = PurePosixPath(main.path or checkpoint.name).suffix.lower()
                if checkpoint.named or known is not None or suffix in WEIGHT_EXTENSIONS | FORMATS_WITHOUT_READER.keys():
                    return checkpoint
                return format_name(file) or "of no known format"
            paths = [str(folder(checkpoint) / relative_path(path)) for path in reader.companion_paths(file)]
            return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 - crawling the checkpoint will say what is wrong with it
        return checkpoint


def find_companion_files(checkpoint: Checkpoint, paths: Sequence[str]) -> Iterator[RemoteFile]:
    """Yield the companions that exist inside the checkpoint's root, beside the main file, not beside what it links to.

    One that cannot be looked up is left out too: its name is too long, holds a NUL or a surrogate, or its symlinks
    form a cycle.
    """
    main = checkpoint.files[0]
    main_path = local_path(main)
    depth = len(PurePosixPath(main.path or main_path.name).parts)
    root = Path(*main_path.parts[:-depth])
    for path in dict.fromkeys(paths):
        try:
            target = (root / path).resolve()
            if not target.is_file() or not may_link_to(root.resolve(), target):
                continue
            status, url = target.stat(), (root / path).as_uri()
        except (OSError, RuntimeError, ValueError):
            continue
        yield RemoteFile(url=url, size=status.st_size, etag=file_version(status), path=path)
