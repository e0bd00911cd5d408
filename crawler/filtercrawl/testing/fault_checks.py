"""Checks of a listing whose server fails or sends damaged pages: it must not end as if it were whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from filtercrawl.api.checkpoint import Skipped
from filtercrawl.api.errors import FiltercrawlError, describe_error
from filtercrawl.testing.file_server import Answer
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.harness import Listed, PluginHarness
from filtercrawl.testing.listing_damage import damages

# Refused and unknown tokens, what is gone, too many requests, and a fault of the server.
STATUSES: Final = (401, 403, 404, 429, 500)
# Requests of a listing that are let through before the failure; the first pages show how a source ends.
_REQUESTS: Final = 3


def broken(harness: PluginHarness) -> Iterator[Violation]:
    """A listing that breaks off at any point removes nothing."""
    whole = harness.listing
    for status in STATUSES:
        for after in range(min(whole.requests, _REQUESTS)):
            harness.fake.break_listing(after, status)
            found = harness.list()
            harness.fake.restore_listing()
            if lost := _lost(harness, whole, found):
                yield (
                    f"the server answers {status} from request {after + 1} of a listing on, and the source ends as if "
                    f"it were whole: {lost} would be removed",
                    "let errors of the transport through: only a listing without an error is complete",
                )
                break


def damaged(harness: PluginHarness) -> Iterator[Violation]:
    """A page that is cut, empty, without a key or wrongly linked is no end of a listing."""
    whole, answers = harness.listing, _answers(harness)
    for damage in damages(answers):
        for after in range(min(whole.requests, _REQUESTS)):
            harness.fake.damage_listing(after, damage.apply)
            found = harness.list()
            harness.fake.restore_listing()
            if lost := _lost(harness, whole, found):
                yield (
                    f"the server {damage.name}, and the source ends as if its listing were whole: {lost} would be "
                    "removed",
                    damage.what_to_do,
                )
                break


def typed(harness: PluginHarness) -> Iterator[Violation]:
    """Faults in a listing are errors of filtercrawl, not of a library."""
    for status in STATUSES:
        harness.fake.break_listing(0, status)
        found = harness.list()
        harness.fake.restore_listing()
        if found.error is not None and not isinstance(found.error, FiltercrawlError):
            yield (
                f"the server answers {status}, and the source raises {describe_error(found.error)}",
                "let NetworkError of the transport through, or raise an error of `filtercrawl` from it",
            )
            return


def _answers(harness: PluginHarness) -> list[Answer]:
    """Return the answers of a listing as they are."""
    seen: list[Answer] = []

    def remember(answer: Answer) -> Answer:
        seen.append(answer)
        return answer

    harness.fake.damage_listing(0, remember)
    harness.list()
    harness.fake.restore_listing()
    return seen


def _lost(harness: PluginHarness, whole: Listed, found: Listed) -> str:
    """Return the ids of what a listing without an error lacks; empty where there is an error or it lacks nothing."""
    if found.error is not None:
        return ""
    names = {offer.name for offer in found.offers}
    # What is below a name that is skipped was not listed, and is not removed.
    hidden = tuple(f"{offer.name}/" for offer in found.offers if isinstance(offer, Skipped))
    missing = [offer.name for offer in whole.offers if offer.name not in names and not offer.name.startswith(hidden)]
    return ", ".join(f"{harness.source.name}/{name}" for name in missing)
