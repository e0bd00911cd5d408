"""The conformance kit knows what a reader has to yield: wrong readers are told from right ones, and what to do."""

from __future__ import annotations

import pytest

from filtercrawl.testing import check
from support.conformance_readers import GOOD_READER, WEAK_SAMPLES, WRONG_READERS, WrongReader
from support.plugins import WritePlugin

READER = """
from filtercrawl.api import TensorLocation, FormatError, StoredTensor, hookimpl
from filtercrawl.testing import ExpectedTensor, ReaderSample
import numpy as np

class Raw:
    name = "raw"

    def can_read(self, file):
        return file.size >= 4 and file.read(0, 4) == b"RAW!"

    def companion_paths(self, file):
        return ()

    def tensors(self, files):
        if files.main.size < 147460:
            raise FormatError(f"{files.main.name}: ends after {files.main.size} bytes")
        shape = (64, 64, 3, 3)
        location = TensorLocation(file=files.main, offset=4, dtype="float32", shape=shape)
        yield StoredTensor(name="w.weight", key="w.weight", shape=shape, dtype="float32", location=location)

def samples():
    values = np.arange(64 * 64 * 9, dtype="float32").reshape(64, 64, 3, 3)
    held = {"w.weight": ExpectedTensor(values=values)}
    yield ReaderSample(files={"net.raw": b"RAW!" + values.tobytes()}, tensors=held)

@hookimpl
def filtercrawl_readers():
    yield Raw()
"""
CLAIM, CUT = "return file.size >= 4 and file.read(0, 4)", "if files.main.size < 147460:"


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("reader-claims", CLAIM, "return file.read(0, 4)", "raises TruncatedError"),
        ("reader-claims", CLAIM, "return file.size >= 0 or file.read(0, 4)", "returns True for an empty file"),
        ("reader-claims", CLAIM, "return file.read(0, file.size)[:4]", "reads 524288 bytes"),
        ("reader-tensors", 'b"RAW!" + values', 'b"WAR!" + values', "sample 0 is not recognized"),
        ("reader-tensors", CUT, "if files.main.size < 147460 and 1 / 0:", "raises ZeroDivisionError"),
        ("reader-tensors", 'dtype="float32", location', 'dtype="f4", location', "the dtype 'f4' is unknown"),
        ("reader-tensors", "location=location)", "location=None)", "neither a location nor a reason"),
        ("reader-tensors", "location=location)", "location=location, reason='odd')", "the reason 'odd'"),
        ("reader-tensors", "yield StoredTensor", "yield dict", "`tensors` yields dict"),
        (
            "reader-tensors",
            "    values = np",
            "    yield 1 / 0\n    values = np",
            "`samples()` ends with ZeroDivisionError",
        ),
        ("reader-tensors", '{"net.raw": b"RAW!" + values.tobytes()}', "{}", "sample 0 has no files"),
    ],
)
def test_a_reader_that_breaks_a_promise_is_found(
    write_plugin: WritePlugin, name: str, old: str, new: str, said: str
) -> None:
    text = READER.replace(old, new)
    assert text != READER
    findings = check(write_plugin(text)).findings
    assert [finding.check for finding in findings][:1] == [name], findings
    assert said in findings[0].what


@pytest.mark.parametrize("text", [READER, GOOD_READER], ids=["in the order of torch", "in the order of Keras"])
def test_a_right_reader_conforms(write_plugin: WritePlugin, text: str) -> None:
    report = check(write_plugin(text))
    assert report.findings == ()
    assert set(report.passed) == {"reader-claims", "reader-tensors", "reader-bytes"}


@pytest.mark.parametrize(
    "wrong", [*WRONG_READERS.values(), *WEAK_SAMPLES.values()], ids=[*WRONG_READERS, *WEAK_SAMPLES]
)
def test_a_wrong_reader_is_found_and_what_to_do_is_said(write_plugin: WritePlugin, wrong: WrongReader) -> None:
    findings = check(write_plugin(wrong.text())).findings
    said = [finding for finding in findings if wrong.what in finding.what]
    assert said, findings
    assert said[0].check == wrong.check
    assert wrong.todo in said[0].what_to_do
    assert all("\n" not in str(finding) for finding in findings)


def test_a_reader_without_samples_is_not_wholly_checked(write_plugin: WritePlugin) -> None:
    module = write_plugin(READER.replace("def samples", "def nothing"))
    assert set(check(module).left_out) == {"reader-tensors", "reader-bytes"}
    assert check(module, listing_only=True).conforms
