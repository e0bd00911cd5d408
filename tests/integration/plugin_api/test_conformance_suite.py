"""The conformance kit: a good plugin passes every check, and each check catches the plugin that is made for it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from filtercrawl.testing import CHECKS, check
from support.conformance_plugins import BAD, GOOD, Bad

pytestmark = pytest.mark.usefixtures("forked_children")

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


READER = """
from filtercrawl.api import TensorLocation, FormatError, StoredTensor, hookimpl

class Raw:
    name = "raw"

    def can_read(self, file):
        return file.size >= 4 and file.read(0, 4) == b"RAW!"

    def companion_paths(self, file):
        return ()

    def tensors(self, files):
        if files.main.size < 76:
            raise FormatError(f"{files.main.name}: ends after {files.main.size} bytes")
        location = TensorLocation(file=files.main, offset=4, dtype="float32", shape=(2, 1, 3, 3))
        yield StoredTensor(name="w.weight", key="w.weight", shape=(2, 1, 3, 3), dtype="float32", location=location)

def samples():
    yield b"RAW!" + bytes(72)

@hookimpl
def filtercrawl_readers():
    yield Raw()
"""
CLAIM, CUT = "return file.size >= 4 and file.read(0, 4)", "if files.main.size < 76:"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("reader-claims", CLAIM, "return file.read(0, 4)", "raises TruncatedError"),
        ("reader-claims", CLAIM, "return file.size >= 0 or file.read(0, 4)", "returns True for an empty file"),
        ("reader-claims", CLAIM, "return file.read(0, file.size)[:4]", "reads 524288 bytes"),
        ("reader-tensors", 'b"RAW!" + bytes(72)', 'b"WAR!" + bytes(72)', "sample 0 is not recognized"),
        ("reader-tensors", CUT, "if files.main.size < 76 and 1 / 0:", "raises ZeroDivisionError"),
        ("reader-tensors", 'dtype="float32", location', 'dtype="f4", location', "the dtype 'f4' is unknown"),
        ("reader-tensors", "location=location)", "location=None)", "neither a location nor a reason"),
        ("reader-tensors", "location=location)", "location=location, reason='odd')", "the reason 'odd'"),
        ("reader-tensors", "yield StoredTensor", "yield dict", "`tensors` yields dict"),
    ],
)
def test_a_reader_that_breaks_a_promise_is_found(write: Write, name: str, old: str, new: str, said: str) -> None:
    text = READER.replace(old, new)
    assert text != READER
    findings = check(write(text)).findings
    assert [finding.check for finding in findings][:1] == [name], findings
    assert said in findings[0].what


def test_a_reader_that_keeps_its_promises_conforms(write: Write) -> None:
    assert check(write(READER)).conforms


def test_a_reader_without_samples_is_not_wholly_checked(write: Write) -> None:
    module = write(READER.replace("def samples", "def nothing"))
    assert set(check(module).left_out) == {"reader-tensors"}
    assert check(module, listing_only=True).conforms


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
def test_an_analysis_that_breaks_a_promise_is_found(write: Write, old: str, new: str, said: str) -> None:
    findings = check(write(ANALYSIS.replace(old, new, 1))).findings
    assert all(finding.check == "analysis" for finding in findings)
    assert any(said in finding.what for finding in findings) if said else findings == ()


@pytest.mark.exhaustive
def test_without_a_zoo_of_its_own_a_plugin_is_not_wholly_checked(write: Write, tmp_path: Path) -> None:
    text = GOOD.replace("def conformance(server)", "def other(server)").replace(
        'transport.pages(query.settings["index"])',
        '[[{"name": "a", "url": "http://127.0.0.1/a", "size": 1, "sha256": "0" * 64}]]',
    )
    module = write(text)
    code, found, said = run(module)
    assert code == 1, said
    assert found["findings"] == []
    assert set(found["left_out"]) == {one.name for one in CHECKS if one.changing}  # type: ignore[call-overload]
    code, found, said = run(module, "--listing-only")
    assert (code, found["conforms"], found["left_out"]) == (0, True, {}), said


def test_of_a_source_that_lists_nothing_nothing_is_said_to_be_right(write: Write) -> None:
    text = GOOD.replace('transport.pages(query.settings["index"])', "[[{}]]")
    assert text != GOOD
    line = next(n for n, line in enumerate(text.splitlines(), 1) if 'row["' in line)
    module = write(text)
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


def test_findings_are_told_with_what_to_do(write: Write) -> None:
    module = write(BAD["licence in words"].text())
    words = ["plugin", "check", module, "--listing-only"]
    done = subprocess.run([sys.executable, "-m", "filtercrawl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "wrong    vocabulary: net-a: license is 'free to use'\n         write an SPDX expression" in done.stdout
    assert "ok       lazy\n" in done.stdout


def test_a_module_that_is_no_plugin_is_said_to_be_none(write: Write) -> None:
    (finding,) = check(write("x = 1")).findings
    assert (finding.check, "implements no hook" in finding.what) == ("hooks", True)
    code, found, said = run("no_such_module_anywhere")
    assert (code, found) == (2, {})
    assert said.startswith("error: no_such_module_anywhere: ModuleNotFoundError")
