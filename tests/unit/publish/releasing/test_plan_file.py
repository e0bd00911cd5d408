"""Plans of a release as files: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings
from filtercrawl.pipeline.planning.approval import Approval
from filtercrawl.pipeline.report import SyncReport
from filtercrawl_publish.releasing.plan_file import PlanFile

APPROVAL = Approval(tasks={"lab/a": ("new", "r1", None)}, removed=frozenset({"lab/b"}))
SETTINGS = Settings(license=("MIT",), kernel_size="3x3", prune=True, retry="none", restricted="remove", jobs=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    plan = PlanFile.of("org/name", "0123", ("lab:", "hub:org/*"), SETTINGS, SyncReport(proposal=APPROVAL))
    plan.write(tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_what_is_written_is_read(path: Path) -> None:
    found = PlanFile.read(path, "org/name")
    assert (found.repo, found.head, found.selectors) == ("org/name", "0123", ("lab:", "hub:org/*"))
    assert found.approval == APPROVAL
    found.write(path.with_name("again.json"))
    assert path.with_name("again.json").read_bytes() == path.read_bytes()
    assert path.read_bytes().endswith(b"\n")


def test_a_plan_brings_the_settings_that_decide_what_is_released(path: Path) -> None:
    applied = PlanFile.read(path, "org/name").apply_to(Settings(jobs=7))
    assert applied == replace(SETTINGS, jobs=7)


def test_what_a_plan_leaves_out_is_left_out_where_it_is_applied() -> None:
    plan = PlanFile.of("org/name", None, (), Settings(), SyncReport())
    assert (plan.head, plan.approval) == (None, Approval())
    applied = plan.apply_to(SETTINGS)
    assert (applied.license, applied.prune, applied.retry) == ((), False, Settings().retry)


def test_a_plan_is_for_one_repository(path: Path) -> None:
    with pytest.raises(UsageError, match=r"plan\.json: the plan is for org/name, not for org/other"):
        PlanFile.read(path, "org/other")


@pytest.mark.parametrize(
    "change", [{"format": 2}, {"settings": {"retry": "due"}}, {"settings": {"more": 1}}], ids=["format", "less", "more"]
)
def test_a_plan_of_another_version_is_made_anew(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=r"plan\.json: the plan was written by another version.*make a new one"):
        PlanFile.read(path, "org/name")


@pytest.mark.parametrize("text", ["", "[1]", "{}", "[" * 100_000, '{"format": 1, "settings": 3}'])
def test_something_else_is_no_plan(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match=r"plan\.json: cannot be read as a plan \(") as raised:
        PlanFile.read(path, "org/name")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("key", ["repo", "head", "selectors", "sources", "todo", "removed"])
def test_a_plan_without_one_of_its_parts_is_none(path: Path, key: str) -> None:
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=rf"plan\.json: .*'{key}'"):
        PlanFile.read(path, "org/name")


def test_a_folder_is_no_file_for_a_plan(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read as a plan"):
        PlanFile.read(path.parent, "org/name")
    with pytest.raises(UsageError, match="the plan cannot be written"):
        PlanFile.read(path, "org/name").write(path.parent)
