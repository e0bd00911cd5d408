"""The conformance kit: a good plugin passes every check, and each check catches the plugin that is made for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from filtercrawl.testing import CHECKS, check
from support.conformance_analyses import GOOD_ANALYSIS, WRONG_ANALYSES
from support.conformance_plugins import BAD, GOOD, WRONG_SOURCES, Bad
from support.plugins import WritePlugin

pytestmark = pytest.mark.usefixtures("forked_children")


def test_a_plugin_that_keeps_every_promise_conforms(write_plugin: WritePlugin) -> None:
    verdict = check(write_plugin(GOOD))
    assert verdict.findings == ()
    assert verdict.conforms
    assert set(verdict.passed) == {one.name for one in CHECKS} | {"build"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_broken_promise_is_found(write_plugin: WritePlugin, bad: Bad) -> None:
    verdict = check(write_plugin(bad.text()), only={bad.check})
    assert verdict.findings, f"passed: {verdict.passed}"
    assert bad.said in verdict.findings[0].what
    assert all(finding.what_to_do and "\n" not in str(finding) for finding in verdict.findings)
    assert not verdict.conforms


@pytest.mark.parametrize("wrong", WRONG_SOURCES.values(), ids=WRONG_SOURCES.keys())
def test_a_wrong_source_that_looks_right_is_found(write_plugin: WritePlugin, wrong: Bad) -> None:
    findings = check(write_plugin(wrong.text()), only={wrong.check}).findings
    assert [finding for finding in findings if wrong.said in finding.what], findings
    assert all(finding.what_to_do and "\n" not in str(finding) for finding in findings)


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


@pytest.mark.exhaustive
def test_a_right_analysis_conforms(write_plugin: WritePlugin) -> None:
    assert check(write_plugin(GOOD_ANALYSIS)).conforms


@pytest.mark.exhaustive
@pytest.mark.parametrize(("old", "new", "said"), WRONG_ANALYSES.values(), ids=WRONG_ANALYSES.keys())
def test_a_wrong_analysis_is_found(write_plugin: WritePlugin, old: str, new: str, said: str) -> None:
    text = GOOD_ANALYSIS.replace(old, new, 1)
    assert text != GOOD_ANALYSIS
    findings = check(write_plugin(text)).findings
    assert all(finding.check == "analysis" and finding.what_to_do for finding in findings)
    assert any(said in finding.what for finding in findings), findings


@pytest.mark.exhaustive
def test_without_a_zoo_of_its_own_a_plugin_is_not_wholly_checked(write_plugin: WritePlugin, tmp_path: Path) -> None:
    text = GOOD.replace("def conformance(server)", "def other(server)").replace(
        'transport.pages(query.settings["index"])',
        '[[{"name": "a", "url": "http://127.0.0.1/a", "size": 1, "sha256": "0" * 64, "license": None}]]',
    )
    module = write_plugin(text)
    code, found, said = run(module)
    assert code == 1, said
    assert found["findings"] == []
    assert set(found["left_out"]) == {one.name for one in CHECKS if one.changing}  # type: ignore[call-overload]
    code, found, said = run(module, "--listing-only")
    assert (code, found["conforms"], found["left_out"]) == (0, True, {}), said


def test_of_a_source_that_lists_nothing_nothing_is_said_to_be_right(write_plugin: WritePlugin) -> None:
    text = GOOD.replace('transport.pages(query.settings["index"])', "[[{}]]")
    assert text != GOOD
    line = next(n for n, line in enumerate(text.splitlines(), 1) if 'row["' in line)
    module = write_plugin(text)
    verdict = check(module, listing_only=True)
    (finding,) = verdict.findings
    assert finding.what == f"the listing ends with KeyError: 'name' ({module}.py, line {line})"
    assert finding.what_to_do.startswith("fix it")
    assert verdict.passed == ("network",)
    assert verdict.left_out.keys() == {one.name for one in CHECKS if not one.changing} - {"listing", "network"} | {
        "build"
    }
    words = ["plugin", "check", module, "--listing-only"]
    done = subprocess.run([sys.executable, "-m", "filtercrawl", *words], capture_output=True, text=True, check=False)
    assert "not done types, vocabulary, names, tokens, lazy, stable-ids, pattern, build:\n" in done.stdout


def test_findings_are_told_with_what_to_do(write_plugin: WritePlugin) -> None:
    module = write_plugin(BAD["licence in words"].text())
    words = ["plugin", "check", module, "--listing-only"]
    done = subprocess.run([sys.executable, "-m", "filtercrawl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "wrong    vocabulary: net-a: license is 'free to use'\n         write an SPDX expression" in done.stdout
    assert "ok       lazy\n" in done.stdout


def test_a_module_that_is_no_plugin_is_said_to_be_none(write_plugin: WritePlugin) -> None:
    (finding,) = check(write_plugin("x = 1")).findings
    assert (finding.check, "implements no hook" in finding.what) == ("hooks", True)
    code, found, said = run("no_such_module_anywhere")
    assert (code, found["exit_code"]) == (2, 2)
    assert said.startswith("error: no_such_module_anywhere: ModuleNotFoundError")
