"""What a request with a range or a condition gets of a file."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.explorer.byte_ranges import answer_request

ETAG = '"1-a"'
sizes = st.integers(0, 50)
positions = st.integers(0, 60)


@given(size=sizes, start=positions, last=positions)
def test_a_range_is_what_slicing_gives(size: int, start: int, last: int) -> None:
    content = bytes(range(size))
    answer = answer_request({"Range": f"bytes={start}-{last}"}, size, ETAG)
    sent = content[answer.start : answer.stop]
    if last < start:
        assert (answer.status, sent) == (HTTPStatus.OK, content)
    elif start >= size:
        assert answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        assert sent == b""
        assert answer.headers["Content-Range"] == f"bytes */{size}"
    else:
        assert (answer.status, sent) == (HTTPStatus.PARTIAL_CONTENT, content[start : last + 1])
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(sent) - 1}/{size}"


@given(size=sizes, start=positions)
def test_a_range_without_an_end_goes_to_the_end(size: int, start: int) -> None:
    answer = answer_request({"Range": f"bytes={start}-"}, size, ETAG)
    assert bytes(range(size))[answer.start : answer.stop] == bytes(range(size))[start:]


@given(size=sizes, length=positions)
def test_a_suffix_is_the_last_bytes(size: int, length: int) -> None:
    answer = answer_request({"Range": f"bytes=-{length}"}, size, ETAG)
    assert bytes(range(size))[answer.start : answer.stop] == (bytes(range(size))[-length:] if length else b"")


@pytest.mark.parametrize(
    "range_", ["bytes=0-1,3-4", "bytes=-", "bytes=a-b", "", "bytes=1-2-3", "bytes=²-3", f"bytes={'9' * 5000}-"]
)
def test_what_is_no_single_range_gets_the_whole_file(range_: str) -> None:
    answer = answer_request({"Range": range_}, 9, ETAG)
    assert (answer.status, answer.start, answer.stop) == (HTTPStatus.OK, 0, 9)


def test_a_range_of_another_version_gets_the_whole_file() -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert answer_request(headers, 9, ETAG).status == HTTPStatus.OK
    assert answer_request({**headers, "If-Range": ETAG}, 9, ETAG).status == HTTPStatus.PARTIAL_CONTENT


@pytest.mark.parametrize("known", [ETAG, f'"x", {ETAG}', f"W/{ETAG}", "*"])
def test_what_the_browser_has_is_not_sent_again(known: str) -> None:
    assert answer_request({"If-None-Match": known}, 9, ETAG).status == HTTPStatus.NOT_MODIFIED
    assert answer_request({"If-None-Match": '"other"'}, 9, ETAG).status == HTTPStatus.OK
