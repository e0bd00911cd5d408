"""The project's own workflows call what is there."""

from __future__ import annotations

import os
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from support.paths import REPOSITORY

FOLDER = REPOSITORY / ".github/workflows"


def steps(name: str) -> list[dict[str, Any]]:
    (job,) = yaml.safe_load((FOLDER / name).read_text("utf-8"))["jobs"].values()
    return [step for step in job["steps"] if "run" in step]


def test_every_change_runs_the_one_script_that_everybody_runs() -> None:
    (command,) = (step["run"] for step in steps("ci.yml"))
    assert command == "bash .ci/run ${{ github.event_name == 'schedule' && '--exhaustive' || '' }}"
    subprocess.run(["bash", "-n", str(REPOSITORY / ".ci/run")], check=True)
    oldest = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    (job,) = yaml.safe_load((FOLDER / "ci.yml").read_text("utf-8"))["jobs"].values()
    assert f">={job['strategy']['matrix']['python'][0]}" == oldest


@pytest.mark.parametrize(("suffix", "goes"), [("", True), (".1", False), ("-rc1", False)])
def test_a_tag_that_is_not_the_version_is_not_uploaded(suffix: str, goes: bool) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    environment = {**os.environ, "GITHUB_REF_NAME": f"v{version}{suffix}"}
    done = subprocess.run(["bash", "-c", steps("pypi.yml")[0]["run"]], cwd=REPOSITORY, env=environment, check=False)
    assert (done.returncode == 0) is goes


def test_no_workflow_holds_a_secret_or_may_write() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text("utf-8")
        assert "secrets" not in text
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
