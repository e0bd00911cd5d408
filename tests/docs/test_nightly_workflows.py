"""The ready workflows call the program as it is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from support.paths import REPOSITORY

PLACE = REPOSITORY / "examples/nightly"


@pytest.fixture
def workflow() -> dict[str, Any]:
    found: dict[Any, Any] = yaml.safe_load((PLACE / "github-actions.yml").read_text("utf-8"))
    return {str(key): value for key, value in found.items()}


def calls() -> list[list[str]]:
    """Every call of the program in the examples, as words."""
    found = []
    for path in sorted(PLACE.iterdir()):
        text = path.read_text("utf-8")
        found += [shlex.split(call) for call in re.findall(r"(filtercrawl release .*?)\"?$", text, re.MULTILINE)]
    return found


def test_commands_and_options_exist(plugins: Plugins) -> None:
    group: Any = typer.main.get_command(build(plugins))
    found = calls()
    assert len(found) == len(list(PLACE.iterdir())) == 2
    for _, name, *arguments in found:
        command = group.get_command(click.Context(group), name)
        context = command.make_context(name, list(arguments), resilient_parsing=False)
        assert "/" in context.params["repo"] or context.params["repo"] == "$DATASET"
        assert set(context.params["selectors"]) <= plugins.sources.keys()
        assert context.params["fail_on"] == "new"
        assert context.params["time_limit"]


def test_the_workflow_has_an_identity_and_no_secret(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    job = workflow["jobs"]["release"]
    assert job["env"]["HF_OIDC_RESOURCE"] == f"datasets/{job['env']['DATASET']}"
    assert "secrets" not in (PLACE / "github-actions.yml").read_text("utf-8")
    assert "schedule" in workflow["True"]  # YAML 1.1 reads the key `on` so


def test_the_job_is_what_the_client_of_the_hub_takes(tmp_path: Path) -> None:
    stand_in = tmp_path / "bin/hf"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    stand_in.chmod(0o755)
    path = f"{stand_in.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(PLACE / "hub-job.sh")], env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, check=True
    )
    words = done.stdout.decode().splitlines()
    options = {word for word in words if word.startswith("--")}
    assert words[:3] == ["jobs", "scheduled", "run"]
    assert options == {"--flavor", "--timeout", "--secrets"}
    assert words[words.index("--secrets") + 1] == "HF_TOKEN"
    assert "17 2 * * *" in words
    client = [sys.executable, "-m", "huggingface_hub.cli.hf", *words[:3], "--help"]
    told = subprocess.run(client, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert all(option in told for option in options)
