"""The conformance kit: a good plugin passes every check, and each check catches the plugin that is made for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance_plugins import BAD, GOOD, Bad
from filtercrawl.testing import CHECKS, Finding, check

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a plugin's module where it can be imported, and return its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(text: str) -> str:
        name = f"conforming_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        return name

    return make


def test_a_plugin_that_keeps_every_promise_conforms(write: Write) -> None:
    verdict = check(write(GOOD))
    assert verdict.findings == ()
    assert verdict.conforms
    assert set(verdict.passed) == {one.name for one in CHECKS} | {"build"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_broken_promise_is_found(write: Write, bad: Bad) -> None:
    verdict = check(write(bad.text()), only={bad.check})
    assert verdict.findings, f"passed: {verdict.passed}"
    assert bad.said in verdict.findings[0].what
    assert all(finding.what_to_do and "\n" not in str(finding) for finding in verdict.findings)
    assert not verdict.conforms


def test_every_check_has_a_plugin_that_it_catches() -> None:
    assert {bad.check for bad in BAD.values()} == {one.name for one in CHECKS} | {"build"}
    assert all(one.promise.endswith(".") for one in CHECKS)


def run(*words: str) -> tuple[int, dict[str, object], str]:
    done = subprocess.run(
        [sys.executable, "-m", "filtercrawl", "plugin", "check", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr
