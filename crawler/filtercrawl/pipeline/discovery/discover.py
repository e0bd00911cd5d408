"""Ask each source what it has; put shards and external data with the file that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from filtercrawl.api.checkpoint import Checkpoint, Offer, RemoteFile, Skipped, folder, local_path
from filtercrawl.api.errors import Cancelled, UsageError, describe_error
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.range_file import LocalFile, file_version, relative_path
from filtercrawl.api.source import Query, Reader, SupportsSubfile, find_reader
from filtercrawl.api.transport import Transport
from filtercrawl.api.vocabulary import WEIGHT_EXTENSIONS
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.history import previous_states
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.discovery.selector import Selector


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one selector offers. problem: why the listing is not complete, None where it is."""

    selector: Selector
    checkpoints: tuple[Checkpoint, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    ignored: int = 0
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class DiscoveryContext:
    """What discovery needs: the plugins, the network, settings a source, and what the dataset knows by model_id."""

    plugins: Plugins
    transport: Transport
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    previous_states: Mapping[str, ModelRow] = field(default_factory=dict)
    opt_out: OptOut = field(default_factory=OptOut)


def discover(selectors: Sequence[Selector], context: DiscoveryContext) -> list[Listing]:
    """List every selector; a source that raises or yields nonsense is named in its listing and stops no other.

    Raises UsageError for a pattern that a source refuses and for two files that would bear one name.
    """
    listings = [attach_companions(list_selector(selector, context), context) for selector in dict.fromkeys(selectors)]
    places: dict[tuple[str, str], tuple[str, Selector]] = {}
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue  # its source alone gives names, and may give one file at two addresses
        for checkpoint in listing.checkpoints:
            url = checkpoint.files[0].url
            before, other = places.setdefault((listing.selector.source, checkpoint.name), (url, listing.selector))
            if before != url:
                raise UsageError(describe_collision(checkpoint.name, str(other), str(listing.selector)))
    return listings


def describe_collision(name: str, one: str, other: str) -> str:
    return f"{one} and {other} both offer {name!r}; give one of them a label: '{other} as=LABEL'"


def list_selector(selector: Selector, context: DiscoveryContext) -> Listing:
    """Run one source to its end, or to its first fault."""
    checkpoints: list[Checkpoint] = []
    skipped: list[Skipped] = []
    names: set[str] = set()
    problem = None
    query = Query(
        pattern=selector.pattern,
        settings=context.settings.get(selector.source, {}),
        previous_states=previous_states(context.previous_states, selector.source),
    )
    try:
        for offer in context.plugins.sources[selector.source].checkpoints(context.transport, query):
            problem = validate_offer(offer, names)
            if problem:
                break
            names.add(offer.name)
            offer = context.opt_out.skip_excluded(selector.source, offer)  # noqa: PLW2901 - the same offer, as it may be used
            if isinstance(offer, Checkpoint):
                checkpoints.append(with_visual_category(offer, context.plugins.visual_categories))
            else:
                skipped.append(offer)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - a stranger's source may raise anything
        problem = describe_error(error)
    return Listing(selector=selector, checkpoints=tuple(checkpoints), skipped=tuple(skipped), problem=problem)


def with_visual_category(checkpoint: Checkpoint, categories: Mapping[str, str]) -> Checkpoint:
    """Say what the pictures of the last training data set show, where the source does not and a plugin does."""
    meta = checkpoint.meta
    if meta.visual_category is not None or not meta.training_datasets:
        return checkpoint
    return replace(checkpoint, meta=replace(meta, visual_category=categories.get(meta.training_datasets[-1])))


def validate_offer(offer: Offer | object, names: set[str]) -> str | None:
    """Say what is wrong with something that a source yielded, or None."""
    if not isinstance(offer, Checkpoint | Skipped):
        return f"yields {type(offer).__name__}, neither Checkpoint nor Skipped"
    if not isinstance(offer.name, str) or not offer.name or not offer.name.isprintable():
        return f"yields a checkpoint with the name {offer.name!r}"
    if offer.name in names:
        return f"yields two checkpoints named {offer.name!r}"
    if isinstance(offer, Checkpoint):
        sound = isinstance(offer.files, tuple) and offer.files and all(isinstance(f, RemoteFile) for f in offer.files)
        return None if sound else f"{offer.name}: files is not a tuple of RemoteFile with at least one"
    return None if isinstance(offer.reason, str) else f"{offer.name}: the reason of a Skipped is no text"


def attach_companions(listing: Listing, context: DiscoveryContext) -> Listing:
    """Give every local checkpoint its companions, drop those from the listing, and ignore what holds no weights."""
    if isinstance(context.plugins.sources[listing.selector.source], SupportsSubfile):
        return listing  # which has looked into the files
    found: list[Checkpoint] = []
    companions: set[str] = set()
    ignored: list[Checkpoint] = []
    for checkpoint in listing.checkpoints:
        known = context.previous_states.get(f"{listing.selector.source}/{checkpoint.name}")
        grouped = with_companions(checkpoint, context.plugins.readers, known)
        (found if grouped is not None else ignored).append(grouped or checkpoint)
        main, *others = (grouped or checkpoint).files
        companions.update(file.url for file in others if file.url != main.url)
    return replace(
        listing,
        checkpoints=tuple(c for c in found if c.files[0].url not in companions),
        ignored=sum(c.files[0].url not in companions for c in ignored),
    )


def with_companions(checkpoint: Checkpoint, readers: Sequence[Reader], known: ModelRow | None) -> Checkpoint | None:
    """Return a checkpoint with the files that its main file names; None where it holds no weights.

    Looks only at files of this machine, and only where they may have changed since the last run.
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
                return checkpoint if suffix in WEIGHT_EXTENSIONS or known is not None else None
            paths = [str(folder(checkpoint) / relative_path(path)) for path in reader.companion_paths(file)]
            return replace(checkpoint, files=(main, *find_companion_files(checkpoint, paths)))
    except Cancelled:
        raise
    except Exception:  # noqa: BLE001 - whatever a reader stumbles over, reading the checkpoint says what is wrong
        return checkpoint


def find_companion_files(checkpoint: Checkpoint, paths: Sequence[str]) -> Iterator[RemoteFile]:
    """Find companions on disk; one that is missing or lies outside the checkpoint's root is left out.

    So is one that cannot be looked up: a name that is too long or holds a NUL or a surrogate, a circle of symlinks.
    """
    main = checkpoint.files[0]
    place = local_path(main)
    depth = len(PurePosixPath(main.path or place.name).parts)
    root = Path(*place.parts[:-depth])
    for path in dict.fromkeys(paths):
        try:
            target = (root / path).resolve()
            if not target.is_file() or not target.is_relative_to(root.resolve()):
                continue
            status, url = target.stat(), (root / path).as_uri()
        except (OSError, RuntimeError, ValueError):
            continue
        yield RemoteFile(url=url, size=status.st_size, etag=file_version(status), path=path)
