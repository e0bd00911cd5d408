"""The workflows call what is there, and every one that is shipped is pinned and states what it may do."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.paths import REPOSITORY

FOLDER = REPOSITORY / ".github/workflows"


# Also those that users copy, and that `filtercrawl plugin new` writes.
SHIPPED = [
    *FOLDER.glob("*.yml"),
    REPOSITORY / "examples/nightly/github-actions.yml",
    *(REPOSITORY / "crawler/filtercrawl/cli/scaffold/templates").rglob("dot.github/workflows/*.jinja"),
]


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return found


def commands(name: str, job: str) -> list[str]:
    return [step["run"] for step in jobs(FOLDER / name)[job]["steps"] if "run" in step]


def test_every_change_runs_the_one_script_that_everybody_runs() -> None:
    *_, command = commands("ci.yml", "ci")
    assert command == "bash .ci/run ${{ github.event_name == 'schedule' && '--exhaustive' || '' }}"
    subprocess.run(["bash", "-n", str(REPOSITORY / ".ci/run")], check=True)
    oldest = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    assert f">={jobs(FOLDER / 'ci.yml')['ci']['strategy']['matrix']['python'][0]}" == oldest


@pytest.mark.parametrize(("suffix", "goes"), [("", True), (".1", False), ("-rc1", False)])
def test_a_tag_that_is_not_the_version_is_not_uploaded(suffix: str, goes: bool) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    environment = {**os.environ, "GITHUB_REF_NAME": f"v{version}{suffix}"}
    done = subprocess.run(
        ["bash", "-c", commands("pypi.yml", "build")[0]], cwd=REPOSITORY, env=environment, check=False
    )
    assert (done.returncode == 0) is goes


def test_no_workflow_holds_a_secret_or_may_write() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8")
        assert "secrets" not in text
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_stated(path: Path) -> None:
    """A tag can be moved to other code, a commit cannot; permissions that are not stated depend on the repository."""
    whole = yaml.safe_load(path.read_text("utf-8"))
    for job in jobs(path).values():
        permissions = job.get("permissions", whole.get("permissions"))
        assert isinstance(permissions, dict)
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert [action for action in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action)] == []
        if any(action.startswith("actions/checkout@") for action in used):
            assert permissions.get("contents") == "read"
        writes = {name for name, level in permissions.items() if level == "write"}
        assert writes <= {"id-token", "attestations", "artifact-metadata"}
    assert len(re.findall(r"uses: \S+@[0-9a-f]{40}  # v\d", path.read_text("utf-8"))) == sum(
        "uses" in step for job in jobs(path).values() for step in job["steps"]
    )


def test_one_action_has_one_version() -> None:
    pins: dict[str, set[str]] = {}
    for path in SHIPPED:
        for action, commit in re.findall(r"uses: ([^@\s]+)@(\S+)", path.read_text("utf-8")):
            pins.setdefault(action, set()).add(commit)
    assert len(pins) > 5
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}
