"""Approved plans: what was approved is carried out, and what came up since is put off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, RemoteFile, Skipped
from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.records import CrawlTask, Plan


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path) as opened:
        yield opened


def checkpoint(name: str, revision: str | None = "r1", etag: str | None = None) -> Checkpoint:
    return Checkpoint(name=name, revision=revision, files=(RemoteFile(url=f"https://lab.example/{name}", etag=etag),))


def task(name: str, action: Any = "new", **facts: Any) -> CrawlTask:
    return CrawlTask(
        checkpoint=checkpoint(name, **facts), source="lab", model_id=f"lab/{name}", selector_id="lab:", action=action
    )


def skip(name: str) -> tuple[str, str, Skipped]:
    return "lab", "lab:", Skipped(name=name, reason="gated")


EMPTY = Plan(tasks=(), unchanged=(), waiting=(), skipped=(), removed=(), seen={})
PLAN = replace(
    EMPTY,
    tasks=(task("a"), task("b", "changed", revision=None, etag="e1"), task("c")),
    removed=(("lab/old", "lab:"), ("lab/older", "lab:")),
    skipped=(skip("x"), skip("y")),
)


def test_a_plan_is_stored_and_read_as_it_is(catalog: Catalog) -> None:
    approved = Approval.of(PLAN, catalog)
    stored = json.loads(json.dumps(approved.to_dict()))
    assert stored["todo"][1] == {"model_id": "lab/b", "why": "changed", "revision": None, "etag": "e1"}
    assert (stored["removed"], stored["skipped"]) == (["lab/old", "lab/older"], ["lab/x", "lab/y"])
    assert Approval.from_json(stored) == approved
    assert approved.restrict(PLAN, catalog) == PLAN


def test_equal_plans_are_equal_bytes() -> None:
    tasks = {f"lab/{name}": ("new", None, None) for name in "ba"}
    names = frozenset({"lab/y", "lab/x", "lab/z"})
    stored = Approval(tasks=tasks, removed=names, skipped=names, restated=names).to_dict()
    assert [item["model_id"] for item in stored["todo"]] == ["lab/a", "lab/b"]
    assert stored["removed"] == stored["skipped"] == stored["restated"] == ["lab/x", "lab/y", "lab/z"]


@pytest.mark.parametrize(
    "content",
    [{}, {"todo": [], "removed": [], "skipped": []}, {"todo": 1, "removed": [], "skipped": [], "restated": []}],
)
def test_something_else_is_no_plan(content: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is no plan of this program"):
        Approval.from_json(content)


@pytest.mark.parametrize(
    "changed", [task("c", "retry"), task("c", revision="r2"), task("c", etag="e2")], ids=["why", "revision", "etag"]
)
def test_what_has_changed_since_is_put_off(catalog: Catalog, changed: CrawlTask) -> None:
    approved = Approval.of(PLAN, catalog)
    later = replace(PLAN, tasks=(*PLAN.tasks[:2], changed, task("d")))
    found = approved.restrict(later, catalog)
    assert [left.model_id for left in found.tasks] == ["lab/a", "lab/b"]
    assert found.deferred == ("lab/c", "lab/d")


def test_only_the_first_tasks_are_approved_up_to_a_limit(catalog: Catalog) -> None:
    found = Approval.of(PLAN, catalog, limit=1).restrict(PLAN, catalog)
    assert ([left.model_id for left in found.tasks], found.deferred) == (["lab/a"], ("lab/b", "lab/c"))


def test_nothing_more_is_removed_or_skipped_than_was_approved(catalog: Catalog) -> None:
    approved = Approval.of(replace(PLAN, removed=PLAN.removed[:1], skipped=PLAN.skipped[:1]), catalog)
    found = approved.restrict(PLAN, catalog)
    assert (found.removed, found.skipped, found.deferred) == (PLAN.removed[:1], PLAN.skipped[:1], ("lab/older",))


def test_metadata_that_are_stated_otherwise_need_approval(catalog: Catalog) -> None:
    known = ModelRow(
        model_id="lab/n", source="lab", name="n", url="https://lab.example/n", outcome="emitted", revision="r1",
        filtercrawl_version="1", kernel_policy="spatial", selectors=("lab:",),
    )  # fmt: skip
    catalog.put_model(known)
    offered = replace(checkpoint("n"), meta=CheckpointMetadata(license="MIT"))
    plan = replace(EMPTY, unchanged=("lab/n",), seen={"lab/n": ("lab:", offered)})
    unaware = Approval().restrict(plan, catalog)
    assert (unaware.unchanged, unaware.deferred) == ((), ("lab/n",))
    aware = Approval.of(plan, catalog)
    assert aware.restated == {"lab/n"}
    assert (aware.restrict(plan, catalog).unchanged, aware.restrict(plan, catalog).deferred) == (("lab/n",), ())
