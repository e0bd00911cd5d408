"""List what each selector offers; refuse names that two files of this machine would share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filtercrawl.api.checkpoint import (
    Checkpoint,
    Offer,
    RemoteFile,
    Skipped,
    local_name,
    local_path,
)
from filtercrawl.api.errors import Cancelled, UsageError, describe_error
from filtercrawl.api.formatting import format_count
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.api.source import Query, SupportsSubfile
from filtercrawl.api.transport import Transport
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.known_models import KnownFiles, batches
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.architectures import with_architecture
from filtercrawl.pipeline.discovery.companions import PartFinder, find_companions
from filtercrawl.pipeline.discovery.file_questions import FileReaders, ReadersHere
from filtercrawl.pipeline.discovery.listing_progress import ListingProgress
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.discovery.previous_states import PreviousStates
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
class Discovery:
    """Lists what selectors offer.

    Attributes:
        plugins: Installed sources, readers and visual categories.
        transport: Network access.
        settings: Settings of each source, by its name.
        catalog: What earlier runs know; None outside of a dataset.
        opt_out: What may not be fetched.
        dry_run: Whether nothing will be read.
        progress: Is told every ten seconds how far a listing is.
        readers: Look into local files; None for the readers of this process.
    """

    plugins: Plugins
    transport: Transport
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    catalog: Catalog | None = None
    opt_out: OptOut = field(default_factory=OptOut)
    dry_run: bool = False
    progress: Progress = field(default_factory=NullProgress)
    readers: FileReaders | None = None

    def list_all(self, selectors: Sequence[Selector]) -> list[Listing]:
        """List every selector; a source that fails is reported in its listing and stops no other.

        Raises:
            UsageError: A source rejects its pattern, or two folders offer different files under one name.
        """
        listings = [self._listing(selector) for selector in dict.fromkeys(selectors)]
        refuse_name_collisions(listings, self.catalog)
        return listings

    def _listing(self, selector: Selector) -> Listing:
        """List one selector; where the run ends meanwhile, nothing that it offers is known."""
        try:
            return self._with_companions(self._list(selector))
        except Cancelled as error:
            return Listing(selector=selector, problem=describe_end(error))

    def _list(self, selector: Selector) -> Listing:
        """List one selector until its source ends or fails."""
        started = time.monotonic()
        listed = ListingProgress(self.progress, str(selector))
        checkpoints: list[Checkpoint] = []
        skipped: list[Skipped] = []
        names: set[str] = set()
        problem = None
        query = Query(
            pattern=selector.pattern,
            settings=self.settings.get(selector.source, {}),
            previous_states=PreviousStates(self.catalog, selector.source) if self.catalog else {},
            weight_suffixes=lambda: self.plugins.weight_suffixes,
            dry_run=self.dry_run,
        )
        try:
            for offer in self.plugins.sources[selector.source].checkpoints(self.transport, query):
                problem = validate_offer(offer, names)
                if problem:
                    break
                names.add(offer.name)
                listed.update("found so far", len(names))
                allowed = self.opt_out.skip_excluded(selector.source, offer)
                if isinstance(allowed, Checkpoint):
                    known = with_architecture(allowed, self.plugins.sources)
                    checkpoints.append(with_visual_category(known, self.plugins.visual_categories))
                else:
                    skipped.append(allowed)
        except UsageError:
            raise
        except Cancelled as error:
            problem = describe_end(error)
        except Exception as error:  # noqa: BLE001 - a plugin's source may raise anything
            problem = describe_error(error)
        return Listing(
            selector=selector,
            checkpoints=tuple(checkpoints),
            skipped=tuple(skipped),
            problem=problem,
            seconds=time.monotonic() - started,
        )

    def _with_companions(self, listing: Listing) -> Listing:
        """Attach companion files to local checkpoints, drop them from the listing, and ignore files without weights."""
        if isinstance(self.plugins.sources[listing.selector.source], SupportsSubfile):
            return listing  # such a source has looked into the files already
        kept: list[Checkpoint] = []
        parts: set[str] = set()
        ignored: dict[str, str] = {}
        readers = self.readers or ReadersHere(self.plugins)
        grouping = ListingProgress(self.progress, str(listing.selector))
        for batch in batches(listing.checkpoints):
            known_files = self._known_files(listing.selector, batch)
            found = find_companions(zip(batch, known_files, strict=True), readers)
            for checkpoint, grouped in zip(batch, found, strict=True):
                if isinstance(grouped, str):
                    ignored[checkpoint.files[0].url] = grouped
                    continue
                kept.append(grouped)
                parts.update(file.url for file in checkpoint.files[1:])  # as the source says
            grouping.update(f"of {format_count(len(listing.checkpoints))} have weights so far", len(kept))
        groups = [checkpoint for checkpoint in kept if len(checkpoint.files) > 1]
        companions = {file.url for checkpoint in groups for file in checkpoint.files[1:]}
        finder = PartFinder(kept, readers, self.catalog)
        for batch in batches(groups):
            for checkpoint, known in zip(batch, self._known_files(listing.selector, batch), strict=True):
                if checkpoint.files[0].url.startswith("file:"):
                    parts.update(finder.parts(checkpoint, known))
        return replace(
            listing,
            checkpoints=tuple(c for c in kept if c.named or c.files[0].url not in parts),
            ignored=Counter(kind for url, kind in sorted(ignored.items()) if url not in companions),
        )

    def _known_files(self, selector: Selector, checkpoints: Sequence[Checkpoint]) -> Iterator[KnownFiles | None]:
        """Return the files of each checkpoint as they were read last."""
        ids = [f"{selector.source}/{checkpoint.name}" for checkpoint in checkpoints]
        return map((self.catalog.files_by_id(ids) if self.catalog else {}).get, ids)


def describe_end(cancelled: Cancelled) -> str:
    """Return why a listing is not complete whose run ended meanwhile: by a budget, its time limit or a signal."""
    return str(cancelled) or "the run ended before it was complete"


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


def refuse_name_collisions(listings: Sequence[Listing], catalog: Catalog | None) -> None:
    """Raise UsageError if two folders of this machine offer different files under one name.

    Only selectors with a local path are checked: other sources give their names themselves, and may list a file at two
    addresses. A file that an earlier run listed collides only while it still exists.

    Args:
        listings: What the selectors of this run offer.
        catalog: What earlier runs listed.

    Raises:
        UsageError: Two files share a name; the message says how to label one of the folders.
    """
    offered: dict[str, tuple[str, Selector]] = {}
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue
        selector = listing.selector
        for checkpoint in listing.checkpoints:
            model_id, url = f"{selector.source}/{checkpoint.name}", checkpoint.files[0].url
            other_url, other = offered.setdefault(model_id, (url, selector))
            if other_url != url:
                raise UsageError(_describe(checkpoint.name, str(other), selector))
    if catalog is not None:
        _refuse_earlier_names(offered, catalog)


def _refuse_earlier_names(offered: Mapping[str, tuple[str, Selector]], catalog: Catalog) -> None:
    known = catalog.locations_by_id(offered)
    moved = [model_id for model_id, url in known.items() if url not in (None, offered[model_id][0])]
    selectors = catalog.selectors() if moved else {}
    for row in sorted(catalog.models_by_id(moved), key=lambda row: row.model_id):
        url, selector = offered[row.model_id]
        earlier = _earlier_selector(row, url, selector, selectors)
        if earlier is not None:
            raise UsageError(_describe(row.offered_as, earlier, selector))


def refuse_files_in(dataset: Path, listings: Sequence[Listing]) -> None:
    """Raise UsageError if a selector of a path of this machine offers files of the dataset folder that is written."""
    folder = str(dataset.resolve())
    for listing in listings:
        if not listing.selector.on_this_machine:
            continue
        for checkpoint in listing.checkpoints:
            path = local_name(checkpoint.files[0])
            if path == folder or path.startswith(f"{folder}/"):
                raise UsageError(
                    f"{listing.selector}: lies in the dataset folder {dataset}; keep checkpoints apart from it"
                )


def _earlier_selector(
    row: ModelRow, url: str, selector: Selector, previous_selectors: Mapping[str, str | None]
) -> str | None:
    """Return the selector of an earlier run that listed another existing file under the name of a row."""
    if row.state.url in (None, url):
        return None
    earlier = [previous_selectors.get(other) for other in row.selectors or ()]
    if not earlier or str(selector) in earlier or not local_path(RemoteFile(url=row.state.url)).exists():
        return None
    return earlier[0] or "an earlier run"


def _describe(name: str, one: str, other: Selector) -> str:
    return f"{one} and {other} both offer {name!r}; give one of them a label: '{other} as=LABEL'"
