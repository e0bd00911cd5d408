"""Checks that need only a source that can be listed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from traceback import extract_tb
from typing import Final

from filtercrawl.api.checkpoint import Checkpoint, Offer
from filtercrawl.api.errors import FiltercrawlError, describe_error
from filtercrawl.api.source import Source
from filtercrawl.testing import record_checks
from filtercrawl.testing.clock import another_day
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.harness import PluginHarness
from filtercrawl.testing.sample_weights import sample_weights

# Checkpoints that are added to see whether all pages are read.
_MANY: Final = 210


def lazy(harness: PluginHarness) -> Iterator[Violation]:
    """No request is sent before the first checkpoint is needed, and no weight file is fetched to be listed."""
    found = harness.listing
    if not found.iterator:
        yield (
            "`checkpoints` returns a finished collection",
            "make it a generator: yield each checkpoint when it is known",
        )
    if found.early:
        yield (
            "a request is sent before the first checkpoint is needed",
            "make `checkpoints` a generator, and send requests within it",
        )
    if found.files:
        yield (
            f"a listing fetches {found.files} weight files",
            "take size and hash from the zoo's index, or leave them None",
        )


def listed(harness: PluginHarness) -> Iterator[Violation]:
    """The listing ends without an error, and offers something."""
    found = harness.listing
    if found.error is not None and not found.outside:  # the check `network` reports it
        yield (
            f"the listing ends with {describe_error(found.error)}{_where(found.error, harness.source)}",
            "list everything, or raise an error of filtercrawl that states what is wrong and what to do"
            if isinstance(found.error, FiltercrawlError)
            else "fix it; if the zoo is wrong, raise an error of filtercrawl that states what and where",
        )
    elif found.error is None and not found.offers:
        yield (
            "the listing is empty",
            "offer something; raise if the zoo is unavailable: an empty listing means that everything was removed",
        )
    if harness.zoo is not None and found.error is None:
        wanted = {harness.zoo.offered_as(name) for name in harness.zoo.weights}
        offered = {offer.name for offer in found.offers}
        if offered and (missing := wanted - offered):
            yield f"the zoo has {min(missing)!r}, and the listing does not", _why_missing(min(missing), offered)


def _why_missing(name: str, offered: set[str]) -> str:
    """Return what to do about a checkpoint that is not listed, by the names that are."""
    if name.lower() in {other.lower() for other in offered}:
        return "offer names as the zoo spells them, with upper and lower case: they are ids"
    if any(name in other for other in offered):
        return "offer the zoo's names without numbers or other additions: they are ids, and stay when others come"
    return (
        "read every page of the listing, and offer also what has no license or an unknown one; `transport.pages` "
        "follows pages"
    )


def many(harness: PluginHarness) -> Iterator[Violation]:
    """A listing of many pages is read to its end."""
    more = {f"many-{number}": sample_weights(1000 + number) for number in range(_MANY)}
    harness.fake.add_all(more)
    found = harness.list()
    names = {offer.name for offer in found.offers}
    missing = [name for name in more if harness.fake.offered_as(name) not in names]
    if found.error is None and missing:
        yield (
            f"of {len(harness.fake.weights)} checkpoints {len(missing)} are not listed, {missing[0]!r} for one",
            "read every page, however many there are: `transport.pages` does; a limit is for the user to set",
        )


def _where(error: BaseException, source: Source) -> str:
    """Return the last line of the source's own module in the traceback of an error, if there is one."""
    own = getattr(sys.modules.get(type(source).__module__), "__file__", None)
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == own]
    return f" ({Path(own).name}, line {lines[-1]})" if own and lines else ""


def stable(harness: PluginHarness) -> Iterator[Violation]:
    """Two listings of an unchanged zoo give the same names and revisions, on any day."""
    one = marks(harness.listing.offers)
    with another_day(type(harness.source).__module__):
        two = marks(harness.list().offers)
    if one.keys() != two.keys():
        name = min(one.keys() ^ two.keys())
        yield (
            f"the name {name!r} is in one listing of two, and nothing has changed",
            "use the permanent name of the checkpoint in the zoo: no counters, dates or random parts",
        )
    for name in sorted(one.keys() & two.keys()):
        if one[name] != two[name]:
            yield (
                f"{name}: its revision or etag changes from listing to listing while its bytes do not",
                "take a hash of the bytes or the zoo's own version of them, and no time; without one give None",
            )
            return


def network(harness: PluginHarness) -> Iterator[Violation]:
    """Every connection of a listing goes through the transport that it is given."""
    for host in harness.listing.outside:
        yield (
            f"the source connects to {host} by itself",
            "use `transport.get_json`, `transport.pages` or `transport.client`, which observe the budgets",
        )


def types(harness: PluginHarness) -> Iterator[Violation]:
    """Every field has the type that its record declares."""
    yield from record_checks.types(harness.listing.offers)


def vocabulary(harness: PluginHarness) -> Iterator[Violation]:
    """Tasks, licenses and dates follow the common vocabularies."""
    yield from record_checks.vocabulary(harness.listing.offers)


def names(harness: PluginHarness) -> Iterator[Violation]:
    """Names can be ids and paths, and no two of them mean the same."""
    yield from record_checks.names(harness.listing.offers)


def tokens(harness: PluginHarness) -> Iterator[Violation]:
    """No field repeats a token."""
    yield from record_checks.tokens(harness.listing.offers, harness.secret)


def pattern(harness: PluginHarness) -> Iterator[Violation]:
    """A pattern restricts what is listed; what it leaves out does not count as removed."""
    everything = [offer.name for offer in harness.listing.offers if isinstance(offer, Checkpoint)]
    if harness.pattern is not None or len(everything) < 2:
        return  # the meaning of a required pattern is up to the source
    one = everything[0] if harness.zoo is None else harness.zoo.pattern_for(next(iter(harness.zoo.weights)))
    if one is None:
        return
    found = harness.list(pattern=re.sub(r"([*?[])", r"[\1]", one))
    if isinstance(found.error, FiltercrawlError):
        return  # it declares that it takes no patterns
    mine = fnmatchcase if harness.zoo is None else str.__eq__
    others = [offer.name for offer in found.offers if not mine(offer.name, f"{one}*" if harness.zoo is None else one)]
    if others:
        yield (
            f"asked for {one!r} alone, the source offers {others[0]!r} as well",
            "yield only where `query.matches(name)`, or raise UsageError where a pattern is given",
        )


def marks(offers: tuple[Offer, ...]) -> dict[str, object]:
    """Return what identifies the content of a checkpoint: its revision, or the etags of its files."""
    return {
        offer.name: (
            (offer.revision, tuple(file.etag for file in offer.files) if offer.revision is None else ())
            if isinstance(offer, Checkpoint)
            else offer.revision
        )
        for offer in offers
        if hasattr(offer, "name")
    }
