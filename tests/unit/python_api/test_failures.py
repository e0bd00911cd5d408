"""Failures by cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.python_api.failures import group_failures


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("a.pt: access denied (HTTP 401); name a token under [auth.\"https://huggingface.co\"]", "access denied"),
        ("org/name: gated, and access is not granted; request access on the repository's page", "access denied"),
        ("https://h/a.pt: not found (HTTP 404)", "not there"),
        ("https://h/a.pt: HTTP 503, 6 times in a row", "server or network"),
        ("https://h/a.pt: no response in time", "server or network"),
        ("the budget of 10 requests is used up; run again to continue", "budget used up"),
        ("unexpected KeyError: 'x'; please report this as a bug", "fault of filtercrawl or of a plugin"),
        ("ran out of memory while reading; give this machine more memory, or set --jobs 1", "out of memory"),
        ("its process was killed, as by a system that is short of memory; fewer --jobs take less", "out of memory"),
        ("used 1h of CPU time; --cpu-limit allows more", "too slow"),
        ("reading its structure or its weights takes more than 10s of CPU time", "too slow"),
        ("no progress for 900s", "too slow"),
        ("not read in 2 attempts, the last one alone: its process crashed (SIGABRT)", "its reader died"),
        ("code tried to write /stolen while the file was read; refused", "code that is not allowed"),
        ("has sha256 0123456789abcdef..., but fedcba9876543210... is recorded", "another file than recorded"),
        ("needs the file 'b.bin', which is not beside it", "part missing"),
        ("the file is a GGUF file; no reader claims it", "format without a reader"),
        ("the file is empty; no reader claims it", "not a file of weights"),
        ("the file is an HTML page, not a file of weights; no reader claims it", "not a file of weights"),
        ("the file is the text of a server's error, not a file of weights; no reader claims it",
         "not a file of weights"),
        ("the file is of no known format; no reader claims it", "of no known format"),
        ("the file is a Git LFS pointer, not the file that it points to; no reader claims it", "Git LFS pointer"),
        ("the file is a damaged safetensors file: its header claims 99 bytes, the file has 9; no reader claims it",
         "damaged or cut off"),
        ("names posix.system, not run, and holds no tensors; do not load it elsewhere", "names code"),
        ("names os.system, which loading it would run; refused by refuse_code", "names code"),
        ("is cut off or damaged: it declares bytes 80 to 512, but the file has 492; fetch it again",
         "damaged or cut off"),
        ("its header claims 99 bytes, the file has 9; fetch it again", "damaged or cut off"),
        ("has 5,000,000 values of JSON, at most 4,000,000 are supported", "beyond the limits for untrusted files"),
    ],
)  # fmt: skip
def test_reasons_tell_their_cause(reason: str, cause: str) -> None:
    (group,) = group_failures({"local/a": reason})
    assert (group.cause, group.count, dict(group.examples)) == (cause, 1, {"local/a": reason})


@pytest.mark.parametrize(
    ("what", "advice"),
    [
        ("empty", "download it again"),
        ("a Git LFS pointer, not the file that it points to", "`git lfs pull`"),
        ("a GGUF file", "`filtercrawl plugin new NAME --kind reader`"),
        ("of no known format", "`filtercrawl plugin new NAME --kind reader`"),
    ],
)
def test_what_to_do_with_a_file_that_no_reader_claims(what: str, advice: str) -> None:
    (group,) = group_failures({"local/a": f"the file is {what}; no reader claims it"})
    assert advice in group.advice


def test_reasons_that_differ_in_names_and_numbers_are_one_cause() -> None:
    failed: dict[str, str | None] = {
        f"hub/{i}": f"the tensor 'layer{i}.weight' is odd in {i} ways; save it anew" for i in range(9)
    }
    (group,) = group_failures(failed)
    assert (group.cause, group.advice, group.count) == ("the tensor … is odd in … ways", "save it anew", 9)
    assert str(group).splitlines()[-1] == "  and 6 more"


def test_nothing_of_a_reason_controls_the_terminal() -> None:
    (group,) = group_failures({"local/\x1b[2J": "no \x1b]0;title\x07 such"})
    assert "\x1b" not in str(group)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=60), max_size=20))
def test_every_failure_is_in_one_group(failed: dict[str, str | None]) -> None:
    groups = group_failures(failed)
    assert sum(group.count for group in groups) == len(failed)
    assert [group.count for group in groups] == sorted((group.count for group in groups), reverse=True)
    assert all(1 <= len(group.examples) <= 3 and group.advice for group in groups)
