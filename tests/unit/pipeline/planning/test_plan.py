"""Plans: a comparison of listings with known rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile, Skipped
from filtercrawl.config.license_policy import METADATA, LicensePolicy
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.crawl_state import AttemptedVersion, CrawlState
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.discovery.discover import Listing
from filtercrawl.pipeline.discovery.opt_out import OptOut
from filtercrawl.pipeline.discovery.selector import Selector
from filtercrawl.pipeline.model_rows import seen_row
from filtercrawl.pipeline.planning.plan import Planner, find_removed, removed_by_hash, widest_policy
from filtercrawl.pipeline.records import Plan

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LAB = Selector("lab")
MakePlanner = Callable[..., Planner]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path) as opened:
        yield opened


@pytest.fixture
def planner(catalog: Catalog) -> MakePlanner:
    def make(**changes: Any) -> Planner:
        return Planner(**{"now": NOW, "version": "2.0", "catalog": catalog, **changes})

    return make


def know(catalog: Catalog, *rows: ModelRow) -> Catalog:
    for known in rows:
        catalog.put_model(known)
    return catalog


def checkpoint(
    name: str = "net", revision: str | None = "r1", license_id: str | None = None, **file: Any
) -> Checkpoint:
    files = (RemoteFile(**{"url": f"https://lab.example/{name}", **file}),)
    return Checkpoint(name=name, revision=revision, files=files, meta=CheckpointMetadata(license=license_id))


def row(name: str = "net", **changes: Any) -> ModelRow:
    columns: dict[str, Any] = {
        "model_id": f"lab/{name}", "source": "lab", "name": name, "url": f"https://lab.example/{name}",
        "outcome": "emitted", "revision": "r1", "filtercrawl_version": "2.0", "kernel_policy": "spatial",
        "selectors": (LAB.id,), **changes,
    }  # fmt: skip
    return ModelRow(**columns)


def listing(*checkpoints: Checkpoint, selector: Selector = LAB, **more: Any) -> Listing:
    return Listing(selector=selector, checkpoints=checkpoints, **more)


@pytest.mark.parametrize(
    ("offered", "known", "changes", "expected"),
    [
        (checkpoint(), None, {}, "new"),
        (checkpoint(), row(), {}, "unchanged"),
        (checkpoint(revision="r2"), row(), {}, "changed"),
        (checkpoint(revision="r2"), row(outcome="withdrawn"), {}, "unchanged"),
        (checkpoint(), row(outcome="skipped", reason="gated"), {}, "changed"),
        (checkpoint(revision=None, etag="e1"), row(etag="e1"), {}, "unchanged"),
        (checkpoint(revision=None, etag="e2"), row(etag="e1"), {}, "changed"),
        (checkpoint(revision=None), row(), {}, "changed"),  # no revision and no etag: nobody knows
        (
            checkpoint(revision="r2"),
            row(state=CrawlState(tried=AttemptedVersion(revision="r2"))),
            {},
            "unchanged",
        ),
        (checkpoint(), row(kernel_policy="3x3"), {}, "changed"),  # a wider policy than before
        (checkpoint(), row(kernel_policy="spatial"), {"policy": "3x3"}, "unchanged"),  # a narrower one removes nothing
        (checkpoint(), row(kernel_policy=None), {}, "changed"),
    ],
)
def test_decisions(
    planner: MakePlanner, offered: Checkpoint, known: Any, changes: dict[str, Any], expected: str
) -> None:
    assert planner(**changes).decide(offered, known) == expected


@pytest.mark.parametrize(
    ("retry", "next_retry", "version", "expected"),
    [
        ("due", NOW - timedelta(days=1), "2.0", "retry"),
        ("due", NOW, "2.0", "retry"),
        ("due", NOW + timedelta(days=1), "2.0", "waiting"),
        ("due", NOW + timedelta(days=1), "1.0", "retry"),  # another version may read it
        ("all", NOW + timedelta(days=1), "2.0", "retry"),
        ("none", NOW - timedelta(days=1), "1.0", "waiting"),
    ],
)
def test_failures_are_retried_when_they_are_due(
    planner: MakePlanner, retry: Any, next_retry: datetime, version: str, expected: str
) -> None:
    failed = row(outcome="failed", reason="truncated", next_retry=next_retry, filtercrawl_version=version)
    assert planner(retry=retry).decide(checkpoint(), failed) == expected


def test_a_changed_file_is_read_even_if_its_last_attempt_failed(planner: MakePlanner) -> None:
    failed = row(outcome="failed", reason="truncated", next_retry=NOW + timedelta(days=1))
    assert planner().decide(checkpoint(revision="r2"), failed) == "changed"


def test_tasks_are_in_the_order_of_their_model_ids(planner: MakePlanner) -> None:
    plan = planner().plan([listing(checkpoint("c"), checkpoint("a"), checkpoint("b"))])
    assert [task.model_id for task in plan.tasks] == ["lab/a", "lab/b", "lab/c"]
    assert {task.action for task in plan.tasks} == {"new"}


def test_two_selectors_may_offer_one_checkpoint(planner: MakePlanner) -> None:
    narrow = Selector("lab", "n*")
    plan = planner().plan([listing(checkpoint()), listing(checkpoint(), selector=narrow)])
    assert [task.selector_id for task in plan.tasks] == [LAB.id]


def test_a_renamed_checkpoint_keeps_its_model_id(catalog: Catalog, planner: MakePlanner) -> None:
    know(catalog, row("old")).put_rename("lab", "net", "lab/old", "old", NOW)
    plan = planner().plan([listing(checkpoint("net"))])
    assert (plan.unchanged, plan.tasks, plan.removed) == (("lab/old",), (), ())


def test_a_rename_ends_where_each_name_is_a_checkpoint_of_its_own(catalog: Catalog, planner: MakePlanner) -> None:
    know(catalog, row("old")).put_rename("lab", "net", "lab/old", "old", NOW)
    both = [listing(checkpoint("net"), checkpoint("old"))]
    assert planner().renames_in_force([listing(checkpoint("net"))]) == {"lab/net": "lab/old"}
    assert planner().renames_in_force(both) == {}
    plan = planner().plan(both)
    assert ([task.model_id for task in plan.tasks], plan.unchanged) == (["lab/net"], ("lab/old",))
    know(catalog, row("net", outcome="skipped", reason="gated"))  # a name alone
    assert planner().renames_in_force([listing(checkpoint("net"))]) == {"lab/net": "lab/old"}
    know(catalog, row("net"))
    assert planner().renames_in_force([listing(checkpoint("net"))]) == {}


@pytest.mark.parametrize(
    ("url", "stated", "emitted", "read_again"),
    [
        ("file:///zoo/net", None, 3, False),
        ("file:///zoo/net", "resnet18", 3, True),
        ("file:///zoo/net", "resnet18", None, False),  # it was never read
        ("https://lab.example/net", "resnet18", 3, False),  # a revision covers what is stated
    ],
)
def test_a_local_file_is_read_again_if_its_architecture_is_stated_otherwise(
    planner: MakePlanner, url: str, stated: str | None, emitted: int | None, read_again: bool
) -> None:
    known = row(url=url, file_sha256="a" * 64, tensors_emitted=emitted)
    offered = replace(checkpoint(url=url), arch=stated)
    assert planner().effective_state(known, offered) == (known.unread() if read_again else known)


def test_what_names_code_is_read_again_where_that_is_refused_now(planner: MakePlanner) -> None:
    code = CrawlState(code=("os.system",))
    for known, read_again in ((row(state=code), True), (row(state=code, reason="truncated"), False), (row(), False)):
        assert planner().effective_state(known, checkpoint()) == known
        refusing = planner(refuse_code=True).effective_state(known, checkpoint())
        assert refusing == (known.unread() if read_again else known)
    assert planner(refuse_code=True).effective_state(None, checkpoint()) is None


def test_a_task_says_whether_code_is_refused(planner: MakePlanner) -> None:
    for refuse_code in (False, True):
        (task,) = planner(refuse_code=refuse_code).plan([listing(checkpoint())]).tasks
        assert task.refuse_code is refuse_code
    (task,) = planner().plan([listing(checkpoint())]).tasks
    assert not task.refuse_code


def test_a_task_keeps_the_widest_policy(catalog: Catalog, planner: MakePlanner) -> None:
    know(catalog, row(kernel_policy="spatial", revision="r0"))
    plan = planner(policy="3x3").plan([listing(checkpoint())])
    assert [task.policy for task in plan.tasks] == ["spatial"]
    assert widest_policy("3x3", None) == "3x3"


def test_licenses_skip_what_is_not_asked_for(planner: MakePlanner) -> None:
    offers = listing(checkpoint("mit", license_id="MIT"), checkpoint("gpl", license_id="GPL-3.0"), checkpoint("none"))
    plan = planner(licenses=("MIT",)).plan([offers])
    assert [task.model_id for task in plan.tasks] == ["lab/mit"]
    assert {skip.name: skip.reason for _, _, skip in plan.skipped} == {
        "gpl": "license GPL-3.0, asked for MIT", "none": "license unknown, asked for MIT",
    }  # fmt: skip
    assert {(source, selector_id) for source, selector_id, _ in plan.skipped} == {("lab", LAB.id)}


def test_the_license_policy_skips_what_it_drops(planner: MakePlanner) -> None:
    policy = LicensePolicy(drop=("GPL-3.0",))
    offers = listing(checkpoint("mit", license_id="MIT"), checkpoint("gpl", license_id="GPL-3.0"))
    plan = planner(license_policy=policy).plan([offers])
    assert [task.model_id for task in plan.tasks] == ["lab/mit"]
    assert [(skip.name, skip.revision) for _, _, skip in plan.skipped] == [("gpl", "r1")]


def test_withheld_weights_that_may_be_kept_now_are_read(catalog: Catalog, planner: MakePlanner) -> None:
    withheld = row(license_policy=METADATA, file_sha256="a" * 64)
    assert planner().effective_state(withheld, checkpoint()) == withheld.unread()
    still = planner(license_policy=LicensePolicy(default="metadata"))
    assert still.effective_state(withheld, checkpoint()) == withheld
    know(catalog, withheld)
    plan = planner().plan([listing(checkpoint())])
    assert [task.action for task in plan.tasks] == ["changed"]


def test_only_a_complete_listing_of_the_same_selector_removes(catalog: Catalog) -> None:
    other = Selector("lab", "x*")
    know(catalog, row("gone"), row("theirs", selectors=(other.id,)), row("net"))
    offered = {"lab/net"}
    assert find_removed([listing(checkpoint())], catalog, offered) == [("lab/gone", LAB.id)]
    assert find_removed([listing(checkpoint(), problem="timed out")], catalog, offered) == []


def test_what_lies_below_a_skipped_folder_is_not_removed(catalog: Catalog) -> None:
    know(catalog, row("folder/net"), row("folder2/net"))
    hidden = Skipped(name="folder", reason="permission denied")
    assert find_removed([listing(skipped=(hidden,))], catalog, {"lab/folder"}) == [("lab/folder2/net", LAB.id)]


def test_what_was_skipped_or_withdrawn_is_not_removed(catalog: Catalog) -> None:
    know(catalog, row("a", outcome="skipped"), row("b", outcome="withdrawn"))
    assert find_removed([listing()], catalog, set()) == []


def test_all_that_is_held_of_a_repository_without_access_is_dropped(catalog: Catalog, planner: MakePlanner) -> None:
    held = [row("r/a", tensors_emitted=1), row("r/b", outcome="no_kernels", tensors_emitted=0)]
    held.append(row("r/c", outcome="failed", reason="cut off", tensors_emitted=1))  # what was read before stays
    know(catalog, *held, row("r/d", outcome="failed"), row("r/e", outcome="skipped"), row("r/f", outcome="withdrawn"))
    know(catalog, row("other/a", tensors_emitted=1))
    gated = listing(skipped=(Skipped(name="r", reason="gated", restricted=True),))
    plan = planner(restricted="remove").plan([gated])
    assert plan.restricted == dict.fromkeys(["lab/r/a", "lab/r/b", "lab/r/c"], "gated")
    assert plan.dropped == plan.restricted.keys()


def test_what_an_opt_out_names_is_removed_once(catalog: Catalog, planner: MakePlanner) -> None:
    gone = row("e", outcome="withdrawn")
    know(catalog, row("a"), row("b", outcome="skipped"), row("c", aliases=("alias",)), row("d"), gone)
    plan = planner(opt_out=OptOut(("lab:a", "lab:b", "lab:alias", "lab:e"))).plan([])
    assert plan.opted_out == ("lab/a", "lab/c")


def test_what_is_offered_just_as_before_is_settled(catalog: Catalog, planner: MakePlanner) -> None:
    know(catalog, row("a"), row("b"), row("c"))
    offers = [checkpoint(name) for name in "abc"]
    catalog.put_offers(LAB.id, {f"lab/{offer.name}": planner().digest.of(offer) for offer in offers})
    offers[1] = checkpoint("b", license_id="MIT")
    plan = planner().plan([listing(*offers)])
    assert (plan.settled, plan.unchanged, list(plan.seen)) == ({"lab/a", "lab/c"}, ("lab/b",), ["lab/b"])
    wider = planner(policy="all").plan([listing(*offers)])
    assert (wider.settled, [task.action for task in wider.tasks]) == (set(), ["changed"] * 3)
    other = planner().plan([listing(*offers, selector=Selector("lab", "*"))])
    assert (other.settled, len(other.unchanged)) == (set(), 3)  # the other selector did not list them yet
    twice = planner().plan([listing(*offers), listing(*offers, selector=Selector("lab", "*"))])
    assert (twice.settled, twice.unchanged, list(twice.seen)) == (plan.settled, plan.unchanged, list(plan.seen))
    for changes in (
        {"licenses": ("MIT",)},
        {"license_policy": LicensePolicy(default="metadata")},
        {"refuse_code": True},
    ):
        assert planner(**changes).plan([listing(*offers)]).settled == set()
    fewer = planner().plan([listing(offers[0])])
    assert fewer.gone == (("lab/b", LAB.id), ("lab/c", LAB.id))
    assert fewer.removed == fewer.gone


def test_an_offer_is_settled_where_nothing_would_be_written(planner: MakePlanner) -> None:
    read = row(state=CrawlState(tried=AttemptedVersion(revision="r1"), files=((None, None),), url="x"))
    assert planner().is_settled(checkpoint(), read)
    assert not planner().is_settled(checkpoint(revision="r2"), read)
    offered = checkpoint(etag="e2")
    seen = seen_row(read, offered, read.last_seen)  # another etag under the same revision: nothing is read again
    assert not planner().is_settled(offered, seen)
    assert planner().is_settled(offered, replace(seen, etag="e2"))
    assert not planner().is_settled(checkpoint(license_id="MIT"), read)
    assert not planner().is_settled(checkpoint(), replace(read, reason="truncated"))
    assert not planner(policy="all").is_settled(checkpoint(), read)


def test_files_that_are_gone_are_found_by_their_hash(catalog: Catalog) -> None:
    known = [row(name, file_sha256=name * 64) for name in "abc"]
    twin = row("d", file_sha256="a" * 64)
    failed = row("e", file_sha256="e" * 64, outcome="failed", reason="truncated")
    know(catalog, *known, twin, failed, row("f"))
    removed = tuple((f"lab/{name}", LAB.id) for name in "fedba")
    plan = Plan(tasks=(), unchanged=(), waiting=(), skipped=(), removed=removed, seen={})
    assert removed_by_hash(plan, catalog) == {(LAB.id, "a" * 64): ["lab/a", "lab/d"], (LAB.id, "b" * 64): ["lab/b"]}
