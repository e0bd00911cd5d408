"""A repository that becomes gated, private or disabled: what was read of it is kept or removed, and told either way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm

from filtercrawl_publish.verification import verify_folder
from support.nightly import ZOO, Job, place
from support.zoo_files import layers, models, put

pytestmark = pytest.mark.usefixtures("forked_children")

A = "hub/org/a/model.safetensors"


def test_it_is_kept_and_told(job: Job) -> None:
    job.hub.repos["org/a"].gated = "auto"
    assert job("--prune") == 0
    assert "no longer accessible, kept: 1 checkpoint" in job.output
    assert "nothing to do" not in job.output
    assert list(job.record["restricted"]["kept"]) == [A]
    assert job.record["restricted"]["removed"] == {}
    folder = job.published()
    assert models(folder)[A]["outcome"] == "emitted"
    changes = json.loads((folder / "changes.json").read_bytes())
    assert [row["model_id"] for row in changes["models"]["kept"]] == [A]
    text = (folder / "CHANGES.md").read_text()
    assert f"- 1 kept, though no longer offered\n  - {A}: gated; set" in text
    assert job("--prune") == 0  # no news
    assert (job.record["outcome"], list(job.record["restricted"]["kept"])) == ("unchanged", [A])


def test_a_single_checkpoint_that_its_source_skips_is_kept_and_told_alike(job: Job, tmp_path: Path) -> None:
    name, model_id = "test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"
    zoo = (*ZOO, f"timm:{name}")
    weights = put(tmp_path / "made.safetensors", timm.create_model("test_resnet").state_dict())
    job.hub.create(f"timm/{name}", {"model.safetensors": weights.read_bytes()})
    assert job(zoo=zoo) == 0
    job.hub.repos[f"timm/{name}"].gated = "auto"
    assert job(zoo=zoo) == 0
    assert list(job.record["restricted"]["kept"]) == [model_id]
    folder = job.published()
    assert models(folder)[model_id]["outcome"] == "emitted"
    text = f"- 1 kept, though no longer offered\n  - {model_id}: timm/{name} is gated; set"
    assert text in (folder / "CHANGES.md").read_text()
    assert job(zoo=zoo) == 0
    assert job.record["outcome"] == "unchanged"
    job.hub.repos[f"timm/{name}"].gated = False
    assert job(zoo=zoo) == 0
    assert (job.record["outcome"], job.record["restricted"]["kept"]) == ("unchanged", {})


def test_access_that_comes_and_goes_is_told_each_time(job: Job) -> None:
    for gated, kept in (("auto", [A]), (False, []), ("auto", [A])):
        job.hub.repos["org/a"].gated = gated
        place(job.hub, job.tmp, "news", job.night)  # so that there is a version
        assert job() == 0
        changes = json.loads((job.published() / "changes.json").read_bytes())
        assert [row["model_id"] for row in changes["models"]["kept"]] == kept


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", ["gated", "disabled"])
def test_it_is_removed_told_and_comes_back(job: Job, how: str) -> None:
    setattr(job.hub.repos["org/a"], how, True)
    assert job("--restricted", "remove", "--allow-loss") == 0
    assert "no longer accessible, removed: 1 checkpoint" in job.output
    assert list(job.record["restricted"]["removed"]) == [A]
    folder = job.published()
    assert models(folder)[A]["outcome"] == "skipped"
    assert models(folder)[A]["reason"].startswith(f"no longer accessible: {how}")
    assert not any(layer.startswith(A) for layer in layers(folder))
    assert f"- 1 gone\n  - {A}: no longer accessible: {how}" in (folder / "CHANGES.md").read_text()
    assert list(verify_folder(folder)) == []
    assert job("--restricted", "remove") == 0
    assert (job.record["outcome"], job.record["restricted"]["removed"]) == ("unchanged", {})
    setattr(job.hub.repos["org/a"], how, False)
    assert job("--restricted", "remove") == 0
    assert models(job.published())[A]["outcome"] == "emitted"


@pytest.mark.exhaustive
def test_a_plan_says_what_would_be_removed(job: Job) -> None:
    job.hub.repos["org/a"].gated = "auto"
    plan = job.tmp / "plan.json"
    assert job("--dry-run", "--restricted", "remove", "--plan", str(plan)) == 0
    assert json.loads(plan.read_bytes())["removed"] == [A]
    job.hub.repos["org/b"].gated = "auto"  # not approved
    assert job("--apply", str(plan), "--allow-loss", zoo=()) == 0
    assert {name: models(job.published())[name]["outcome"] for name in (A, A.replace("/a/", "/b/"))} == {
        A: "skipped",
        A.replace("/a/", "/b/"): "emitted",
    }
