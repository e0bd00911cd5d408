"""The conformance kit: a good plugin passes every check, and each check catches the plugin that is made for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from filtercrawl.testing import CHECKS, check
from support.conformance_plugins import BAD, GOOD, Bad
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


ANALYSIS = """
import pyarrow as pa
from filtercrawl.api import Result, ResultTable, hookimpl

class Sizes:
    name = "sizes"
    title = "Sizes of layers"

    def run(self, view):
        sizes = view.index["n_kernels"].to_pylist()
        rows = pa.table({"n": pa.array(sizes, pa.int64())})
        table = ResultTable(name="sizes", title="Sizes", rows=rows)
        return Result(tables=(table,), findings=(f"{sum(sizes)} kernels.",))

@hookimpl
def filtercrawl_analyses():
    yield Sizes()
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "", ""),
        ("sum(sizes)", "max(sizes)", "a dataset without kernels: ValueError"),
        ("return Result", "return 3 and dict", "dict, which is no Result"),
        ("pa.array(sizes", "pa.array([__import__('random').getrandbits(32) for _ in sizes]", "give two results"),
        ('title = "Sizes of layers"', "title = None", "has no title"),
    ],
)
def test_an_analysis_that_breaks_a_promise_is_found(write_plugin: WritePlugin, old: str, new: str, said: str) -> None:
    findings = check(write_plugin(ANALYSIS.replace(old, new, 1))).findings
    assert all(finding.check == "analysis" for finding in findings)
    assert any(said in finding.what for finding in findings) if said else findings == ()


@pytest.mark.exhaustive
def test_without_a_zoo_of_its_own_a_plugin_is_not_wholly_checked(write_plugin: WritePlugin, tmp_path: Path) -> None:
    text = GOOD.replace("def conformance(server)", "def other(server)").replace(
        'transport.pages(query.settings["index"])',
        '[[{"name": "a", "url": "http://127.0.0.1/a", "size": 1, "sha256": "0" * 64}]]',
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
    assert (code, found) == (2, {})
    assert said.startswith("error: no_such_module_anywhere: ModuleNotFoundError")
