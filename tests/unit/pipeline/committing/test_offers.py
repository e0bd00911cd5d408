"""What a run records of the listings: what was seen, what is left out, what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile, Skipped, TrainingRun
from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.catalog.duplicate_weights import WeightOwnership
from filtercrawl.dataset.catalog.writable_dataset import WritableDataset
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.pipeline.committing.offers import OfferRecorder
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.planning.plan import Planner
from filtercrawl.pipeline.records import Plan
from support.stored_checkpoints import model_row, store, stored, writable_dataset

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
LATER = datetime(2026, 1, 3, tzinfo=UTC)
LAB = Selector("lab")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[WritableDataset]:
    with writable_dataset(tmp_path) as opened:
        yield opened


def recorder(data: WritableDataset, licenses: LicensePolicy | None = None, **changes: Any) -> OfferRecorder:
    policy = licenses or LicensePolicy()
    ownership = WeightOwnership(dataset=data, license_policy=policy)
    planner = Planner(now=NOW, version="2.0", catalog=data.catalog, license_policy=policy)
    about = {"now": NOW, "version": "2.0", "plugin_of": {"lab": "lab-plugin"}, **changes}
    return OfferRecorder(catalog=data.catalog, ownership=ownership, planner=planner, **about)


def plan(**changes: Any) -> Plan:
    nothing: dict[str, Any] = {"tasks": (), "unchanged": (), "waiting": (), "skipped": (), "removed": (), "seen": {}}
    return Plan(**{**nothing, **changes})


def offer(name: str = "net", license_id: str | None = None, run: TrainingRun | None = None, **file: Any) -> Checkpoint:
    files = (RemoteFile(url=f"https://lab.example/{name}", **file),)
    return Checkpoint(name=name, revision="r1", files=files, meta=CheckpointMetadata(license=license_id), run=run)


def seen(*offers: Checkpoint) -> dict[str, tuple[str, Checkpoint]]:
    return {f"lab/{offered.name}": (LAB.id, offered) for offered in offers}


def skipping(reason: str = "gated", revision: str | None = "r1", **changes: Any) -> Plan:
    return plan(skipped=(("lab", LAB.id, Skipped(name="net", reason=reason, revision=revision)),), **changes)


def test_what_an_opt_out_names_is_removed(data: WritableDataset) -> None:
    held = store(data, "net")
    store(data, "other", seed=1)
    recorder(data).record(plan(opted_out=("lab/net",)), [])
    row = stored(data, "net")
    assert (row.outcome, row.reason, row.layers_file) == ("skipped", "opted out", None)
    assert data.catalog.layers_of("lab/net") == []
    assert held.layers_file is not None
    assert stored(data, "other").outcome == "emitted"
    assert data.catalog.needs_export


# What a source or the licenses skip.


def test_a_new_checkpoint_that_is_skipped_gets_a_row_with_the_reason(data: WritableDataset) -> None:
    recorder(data).record(skipping(), [])
    row = stored(data, "net")
    assert (row.outcome, row.reason, row.revision, row.selectors) == ("skipped", "gated", "r1", (LAB.id,))
    assert (row.source, row.name, row.filtercrawl_version) == ("lab", "net", "2.0")
    assert (row.first_seen, row.last_seen) == (NOW, NOW)
    assert data.catalog.needs_export


@pytest.mark.parametrize(
    ("reason", "revision", "is_news"),
    [("gated", "r1", False), ("no license", "r1", True), ("gated", "r2", True)],
)
def test_a_reason_is_published_once(data: WritableDataset, reason: str, revision: str, is_news: bool) -> None:
    known = model_row("net", outcome="skipped", reason="gated", first_seen=BEFORE, last_seen=BEFORE)
    data.catalog.put_model(known)
    recorder(data).record(skipping(reason, revision), [])
    row = stored(data, "net")
    assert (row.reason, row.revision, row.first_seen) == (reason, revision, BEFORE)
    assert row.last_seen == (NOW if is_news else BEFORE)
    assert data.catalog.needs_export == is_news


def test_a_reason_that_is_not_valid_unicode_is_escaped(data: WritableDataset) -> None:
    recorder(data).record(skipping("broken \ud800"), [])
    assert stored(data, "net").reason == r"broken \U0000d800"


def test_what_the_dataset_holds_stays_when_its_source_skips_it(data: WritableDataset) -> None:
    held = store(data, "net")
    recorder(data).record(skipping(), [])
    assert stored(data, "net") == held
    assert not data.catalog.needs_export


def test_what_is_left_out_for_its_license_has_a_row_with_the_license(data: WritableDataset) -> None:
    recorder(data).record(skipping("license GPL-3.0", seen=seen(offer(license_id="GPL-3.0"))), [])
    row = stored(data, "net")
    assert (row.outcome, row.license, row.url) == ("skipped", "GPL-3.0", "https://lab.example/net")


@pytest.mark.parametrize(("license_id", "is_news"), [("MIT", False), ("GPL-3.0", True)])
def test_what_is_held_learns_its_new_license(data: WritableDataset, license_id: str, is_news: bool) -> None:
    held = store(data, "net", license="MIT", tag="as it was read")
    recorder(data).record(skipping("not asked for", seen=seen(offer(license_id=license_id))), [])
    row = stored(data, "net")
    assert (row.license, row.outcome, row.layers_file) == (license_id, "emitted", held.layers_file)
    assert row.tag == (None if is_news else "as it was read")
    assert data.catalog.needs_export == is_news


# What is offered as it was.


def test_a_date_is_noted_and_is_no_reason_to_publish(data: WritableDataset) -> None:
    held = store(data, "net", first_seen=BEFORE, last_seen=BEFORE, selectors=("another",))
    recorder(data).record(plan(unchanged=("lab/net",), seen=seen(offer(etag="e2"))), [])
    row = stored(data, "net")
    assert (row.first_seen, row.last_seen, row.etag) == (BEFORE, NOW, "e2")
    assert row.selectors == tuple(sorted(("another", LAB.id)))
    assert (row.outcome, row.layers_file) == (held.outcome, held.layers_file)
    assert not data.catalog.needs_export


def test_a_new_license_is_published(data: WritableDataset) -> None:
    store(data, "net", license="MIT")
    recorder(data).record(plan(unchanged=("lab/net",), seen=seen(offer(license_id="GPL-3.0"))), [])
    assert stored(data, "net").license == "GPL-3.0"
    assert data.catalog.needs_export


def test_what_the_catalog_does_not_know_gets_no_row(data: WritableDataset) -> None:
    recorder(data).record(plan(unchanged=("lab/net",), seen=seen(offer())), [])
    assert data.catalog.model("lab/net") is None


# Licenses and runs.


@pytest.mark.parametrize(("policy", "outcome"), [("metadata", "emitted"), ("drop", "skipped")])
def test_a_license_that_was_learned_in_this_run_is_enforced(data: WritableDataset, policy: str, outcome: str) -> None:
    store(data, "net", license="MIT")
    licenses = LicensePolicy(**{policy: ("GPL-3.0",)})
    recorder(data, licenses).record(plan(unchanged=("lab/net",), seen=seen(offer(license_id="GPL-3.0"))), [])
    row = stored(data, "net")
    assert (row.outcome, row.layers_file, row.license) == (outcome, None, "GPL-3.0")
    assert row.license_policy == (METADATA if policy == "metadata" else None)


def test_the_last_checkpoint_of_a_run_is_final(data: WritableDataset) -> None:
    runs = [TrainingRun(id="run", step=step) for step in (1, 2)]
    offers = [offer(f"step{run.step}", run=run) for run in runs]
    for seed, run in enumerate(runs):
        store(data, f"step{run.step}", seed, run_id="run", step=run.step)
    recorder(data).record(plan(unchanged=("lab/step1", "lab/step2"), seen=seen(*offers)), [])
    assert [stored(data, name).run_final for name in ("step1", "step2")] == [False, True]


# What the next run need not look at.


def test_what_was_recorded_is_settled_until_something_changes(data: WritableDataset) -> None:
    store(data, "net", first_seen=BEFORE, last_seen=BEFORE, selectors=(LAB.id,))
    offers, listings = offer(), [Listing(selector=LAB, checkpoints=(offer(),))]
    record = recorder(data)
    record.record(plan(unchanged=("lab/net",), seen=seen(offers)), listings)
    assert stored(data, "net").last_seen == NOW
    settled = record.planner.plan(listings)
    assert (settled.settled, settled.unchanged, settled.seen) == ({"lab/net"}, (), {})
    recorder(data, now=LATER).record(settled, listings)
    assert stored(data, "net").last_seen == LATER
    assert not data.catalog.needs_export
    recorder(data).record(record.planner.plan([Listing(selector=LAB)]), [Listing(selector=LAB)])
    assert record.planner.plan(listings).unchanged == ("lab/net",)


def test_what_an_incomplete_listing_has_was_seen_and_the_rest_was_not(data: WritableDataset) -> None:
    for seed, name in enumerate("ab"):
        store(data, name, seed, last_seen=BEFORE, selectors=(LAB.id,))
    both = (offer("a"), offer("b"))
    record, complete = recorder(data), [Listing(selector=LAB, checkpoints=both)]
    record.record(record.planner.plan(complete), complete)
    broken = [Listing(selector=LAB, checkpoints=both[:1], problem="timed out")]
    recorder(data, now=LATER).record(record.planner.plan(broken), broken)
    assert [stored(data, name).last_seen for name in "ab"] == [LATER, NOW]


def test_a_skip_is_looked_at_once(data: WritableDataset) -> None:
    recorder(data).record(skipping(), [])
    digest = recorder(data).planner.digest.of(Skipped(name="net", reason="gated", revision="r1"))
    assert data.catalog.offers_of(LAB.id, ["lab/net"]) == {"lab/net": digest}


def test_a_run_of_settled_steps_learns_that_one_is_gone(data: WritableDataset) -> None:
    runs = [TrainingRun(id="run", step=step) for step in (1, 2, 3)]
    offers = tuple(offer(f"step{run.step}", run=run) for run in runs)
    for seed, run in enumerate(runs):
        store(data, f"step{run.step}", seed, run_id="run", step=run.step, selectors=(LAB.id,))
    record = recorder(data)
    for listed in (offers, offers[1:], offers[1:], (*offers[1:], offer("step4", run=TrainingRun(id="run", step=4)))):
        listings = [Listing(selector=LAB, checkpoints=listed)]
        made = record.planner.plan(listings)
        if len(listed) == 3 and listed != offers:
            store(data, "step4", 4, run_id="run", step=4, selectors=(LAB.id,))
        record.record(made, listings)
    assert [stored(data, f"step{step}").run_final for step in (1, 2, 3, 4)] == [False, False, False, True]


# Selectors, and what they no longer offer.


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ({}, {"listed": NOW, "n_offered": 0}),
        ({"checkpoints": (offer("a"), offer("b"))}, {"listed": NOW, "n_offered": 2}),
        ({"ignored": {"text": 2, "image": 1}}, {"listed": NOW, "n_offered": 0, "ignored": '{"image": 1, "text": 2}'}),
        ({"checkpoints": (offer("a"),), "problem": "timed out"}, {"listed": None, "n_offered": 1}),
    ],
)
def test_a_selector_is_noted(data: WritableDataset, listing: dict[str, Any], expected: dict[str, Any]) -> None:
    selector = Selector("lab", "n*")
    recorder(data).record(plan(), [Listing(selector=selector, **listing)])
    row = SourceRow(selector_id=selector.id, source="lab", selector="lab:n*", plugin="lab-plugin", **expected)
    assert list(data.catalog.sources()) == [row]


GONE = plan(removed=(("lab/c", LAB.id), ("lab/a", LAB.id), ("lab/a", "another"), ("lab/b", LAB.id)))


def test_what_is_gone_stays_unless_it_is_to_be_removed(data: WritableDataset) -> None:
    held = [store(data, name, seed) for seed, name in enumerate("abc")]
    assert recorder(data).record(GONE, [], renamed={"lab/b"}) == ["lab/a", "lab/c"]
    assert list(data.catalog.models()) == held
    assert not data.catalog.needs_export


def test_what_is_gone_is_removed_by_prune_and_what_was_renamed_is_not(data: WritableDataset) -> None:
    held = [store(data, name, seed) for seed, name in enumerate("abc")]
    assert recorder(data, prune=True).record(GONE, [], renamed={"lab/b"}) == ["lab/a", "lab/c"]
    assert [row.outcome for row in data.catalog.models()] == ["skipped", "emitted", "skipped"]
    assert stored(data, "a").reason == "no longer offered by its source"
    assert stored(data, "b") == held[1]
