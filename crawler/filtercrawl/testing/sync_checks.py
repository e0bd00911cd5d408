"""Checks against a zoo that changes: what a sync must notice, and what it must ignore."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.checkpoint import Checkpoint, PreviousState, combined_etag
from filtercrawl.api.progress import NullProgress
from filtercrawl.api.vocabulary import OUTCOMES
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.testing.finding import Violation
from filtercrawl.testing.harness import NAMES, PluginHarness
from filtercrawl.testing.listing_checks import marks
from filtercrawl.testing.sample_weights import LAYERS, sample_weights


def synced(harness: PluginHarness) -> Iterator[Violation]:
    """A sync of the fake zoo keeps the kernels of every checkpoint."""
    report = harness.sync()
    for model_id, reason in report.failures.items():
        yield (
            f"{model_id} cannot be read: {reason}",
            "look at the file's URL; the fake zoo serves it at `self.url(name)`",
        )
    if not report.failures and report.layers != LAYERS * len(NAMES):
        yield (
            f"{report.layers} layers were kept of {LAYERS * len(NAMES)} in the zoo{_problem(report)}",
            "offer every checkpoint with all its files, and the whole file unless `prefix` is meant",
        )


def incremental(harness: PluginHarness) -> Iterator[Violation]:
    """A second run over an unchanged zoo reads nothing."""
    harness.sync()
    before = harness.fake.requests()
    report = harness.sync()
    after = harness.fake.requests()
    again = report.n_crawled
    if again or report.bytes_fetched or after[1] - before[1] > len(NAMES):
        yield (
            f"nothing has changed, and a second run reads {again or 'some'} checkpoints again",
            "give a revision that changes exactly when the bytes do, or an etag for each file",
        )


def revision(harness: PluginHarness) -> Iterator[Violation]:
    """The revision changes if and only if the bytes change."""
    before = marks(harness.list().offers)
    changed, kept = (harness.fake.offered_as(name) for name in NAMES[:2])
    harness.fake.add(NAMES[0], sample_weights(99))
    after = marks(harness.list().offers)
    if after.get(kept) != before.get(kept):
        yield (
            f"{kept}: its revision changes when another checkpoint does",
            "take what belongs to the one checkpoint, not to the zoo or its index",
        )
    known = before.get(changed) not in (None, (None, (None,)))
    if known and after.get(changed) == before.get(changed):
        yield (
            f"{changed}: its bytes have changed, and its revision has not",
            "take a hash of the bytes or the zoo's own version of them; without one give None",
        )


def signed(harness: PluginHarness) -> Iterator[Violation]:
    """A new signature in an address is no new revision."""
    before = marks(harness.list().offers)
    harness.fake.sign()
    after = marks(harness.list().offers)
    for name in sorted(before):
        if after.get(name) != before[name]:
            yield (
                f"{name}: a new signature in its address makes it a new revision",
                "make no revision of an address; where addresses expire, the source has `resolve`",
            )
            return


def changed(harness: PluginHarness) -> Iterator[Violation]:
    """A change of the bytes is noticed."""
    harness.sync()
    harness.fake.add(NAMES[0], sample_weights(99))
    report = harness.sync()
    if report.checkpoints["changed"] != 1 or report.layers != LAYERS:
        yield (
            f"one checkpoint has other bytes, and a sync finds {report.checkpoints['changed']} changed",
            "give a revision that changes exactly when the bytes do, or an etag for each file",
        )


def deleted(harness: PluginHarness) -> Iterator[Violation]:
    """What the zoo no longer has counts as removed."""
    harness.sync()
    harness.fake.delete(NAMES[0])
    gone, wanted = harness.sync(prune=True).removed_models, [harness.model_id(NAMES[0])]
    if gone != wanted:
        yield (
            f"{wanted[0]} is gone from the zoo, and a sync misses {', '.join(gone) or 'nothing'}",
            "list what the zoo has now: keep no list of your own from run to run",
        )
        return
    harness.fake.add(NAMES[0], sample_weights(0))
    harness.sync(prune=True)
    if wanted[0] not in _emitted(harness):
        yield (
            f"{wanted[0]} was gone from the zoo and is there again, and a sync does not find it",
            "offer whatever the zoo has; `query.previous_states` saves requests and hides nothing",
        )


def known(harness: PluginHarness) -> Iterator[Violation]:
    """What the dataset knows of a checkpoint hides it from no listing."""
    wanted = {offer.name: offer for offer in harness.listing.offers if isinstance(offer, Checkpoint)}
    for outcome in OUTCOMES:
        for same in (True, False) if outcome != "skipped" else (False,):
            states = {
                name: PreviousState(
                    revision=offer.revision if same else "another",
                    etag=combined_etag(offer) if same else "another",
                    outcome=outcome,
                    reason=None if outcome == "emitted" else "as it was then",
                    meta=offer.meta,
                )
                for name, offer in wanted.items()
            }
            found = harness.list(known=states)
            offered = {offer.name for offer in found.offers if isinstance(offer, Checkpoint)}
            if found.error is None and (gone := sorted(wanted.keys() - offered)):
                of = "the same revision" if same else "another revision"
                yield (
                    f"{gone[0]}: is not offered once the dataset has it as {outcome}, in {of}",
                    "offer whatever the zoo has; `query.previous_states` saves requests and hides nothing",
                )
                return


def crash(harness: PluginHarness) -> Iterator[Violation]:
    """A run that dies after the first checkpoint loses nothing: the next one brings the rest."""
    try:
        harness.sync(progress=_CrashingProgress())
    except _SimulatedCrash:
        report = harness.sync()
        if report.problems or report.failures or len(_emitted(harness)) != len(NAMES):
            yield (
                f"a run died half-way, and the next one does not bring the rest{_problem(report)}",
                "keep no state between runs except what `query.previous_states` holds",
            )


def pattern_removal(harness: PluginHarness) -> Iterator[Violation]:
    """A run with a pattern removes only what it listed itself."""
    one = harness.fake.pattern_for(NAMES[0])
    if harness.pattern is not None or one is None:
        return
    harness.sync()
    if harness.sync(one).problems:
        return  # it declares that it takes no patterns
    harness.fake.delete(NAMES[1])
    report = harness.sync(one, prune=True)
    if report.removed_models or harness.model_id(NAMES[1]) not in _emitted(harness):
        yield (
            f"a run for {one!r} alone removes {', '.join(report.removed_models)}, which it did not list",
            "yield only where `query.matches(name)`, or raise UsageError where a pattern is given",
        )


def _emitted(harness: PluginHarness) -> set[str]:
    with Catalog(harness.folder / "dataset") as catalog:
        return {row.model_id for row in catalog.models() if row.outcome == "emitted"}


def _problem(report: SyncReport) -> str:
    problems = [*report.problems.values(), *report.failures.values()]
    return f" ({problems[0]})" if problems else ""


class _SimulatedCrash(BaseException):
    """As sudden as a kill: no error handler may catch it."""


class _CrashingProgress(NullProgress):
    def done(self, model_id: str, what: str) -> None:  # noqa: ARG002 - the interface's signature
        raise _SimulatedCrash
