"""What responses and failures mean: errors, retries, `Retry-After`, `Content-Range`."""

from __future__ import annotations

import ssl
from email.utils import formatdate

import httpx2
import pytest

from filtercrawl.api.errors import AccessDeniedError, NetworkError, NotFoundError
from filtercrawl.transport.responses import (
    InvalidResponseError,
    check_identity_encoding,
    describe_failure,
    is_retryable,
    length_from_unsatisfied_range,
    linked_sha256,
    map_http_errors,
    parse_content_range,
    parse_retry_after,
    raise_for_status,
    validate_url,
)

HEX = "ab" * 32


def response(status: int = 206, **headers: str) -> httpx2.Response:
    return httpx2.Response(
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        request=httpx2.Request("GET", "https://host.example:8443/a?token=x"),
    )


@pytest.mark.parametrize(
    ("header", "parsed"),
    [("bytes 10-19/100", (20, "100")), ("bytes 10-14/100", (15, "100")), ("bytes 10-19/*", (20, "*"))],
)
def test_content_range(header: str, parsed: tuple[int, str]) -> None:
    assert parse_content_range(response(Content_Range=header), 10, 20) == parsed


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes 0-19/100",
        "bytes 11-19/100",
        "bytes 10-20/100",
        "bytes 10-9/100",
        "bytes */100",
        "bytes 10-19",
        "bytes=10-19/100",
        "items 10-19/100",
        "bytes 10-19/1e3",
        f"bytes 10-{'9' * 30}/100",
    ],
)
def test_a_content_range_that_was_not_asked_for(header: str) -> None:
    with pytest.raises(InvalidResponseError, match="Content-Range"):
        parse_content_range(response(Content_Range=header), 10, 20)


def test_an_unsatisfied_range_states_the_length() -> None:
    assert length_from_unsatisfied_range(response(416, Content_Range="bytes */0")) == "0"
    for header in ("", "bytes 0-1/5", "bytes */*"):
        with pytest.raises(InvalidResponseError, match="HTTP 416"):
            length_from_unsatisfied_range(response(416, Content_Range=header))


def test_bodies_that_are_not_the_bytes_of_the_file() -> None:
    check_identity_encoding(response())
    check_identity_encoding(response(Content_Encoding="Identity", Content_Type="application/octet-stream"))
    with pytest.raises(InvalidResponseError, match=r"compressed \(gzip\)"):
        check_identity_encoding(response(Content_Encoding="gzip"))
    with pytest.raises(InvalidResponseError, match="several parts"):
        check_identity_encoding(response(Content_Type="Multipart/byteranges; boundary=x"))


def test_the_sha256_of_the_hub_is_read_from_the_response_or_a_redirect() -> None:
    assert linked_sha256(response()) is None
    assert linked_sha256(response(X_Linked_Etag=f'"{HEX}"')) == HEX
    assert linked_sha256(response(X_Linked_Etag=HEX[:-1])) is None
    redirected = response()
    redirected.history = [response(302, X_Linked_Etag=HEX)]
    assert linked_sha256(redirected) == HEX


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (formatdate(1030.0, usegmt=True), 30.0),
        (formatdate(970.0, usegmt=True), 0.0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("\u0667", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert parse_retry_after({"Retry-After": value}, 1000.0) == seconds


def test_no_retry_after() -> None:
    assert parse_retry_after({}, 1000.0) is None


@pytest.mark.parametrize("status", [200, 206, 299])
def test_success(status: int) -> None:
    raise_for_status(response(status), "here")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AccessDeniedError),
        (403, AccessDeniedError),
        (404, NotFoundError),
        (410, NotFoundError),
        (302, NetworkError),
        (500, NetworkError),
    ],
)
def test_statuses_that_are_no_success(status: int, kind: type[NetworkError]) -> None:
    with pytest.raises(NetworkError, match=rf"^here: .*HTTP {status}") as caught:
        raise_for_status(response(status), "here")
    assert type(caught.value) is kind
    assert "token=x" not in str(caught.value)


def test_a_refusal_names_the_setting_for_a_token() -> None:
    with pytest.raises(AccessDeniedError, match=r'\[auth\."https://host\.example:8443"\]'):
        raise_for_status(response(401), "here")


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (503, "HTTP 503"),
        (httpx2.ReadTimeout("x"), "no response in time"),
        (httpx2.TooManyRedirects("x"), "too many redirects"),
        (httpx2.ReadError("lost\n  https://host/f?X-Signature=abc now"), "lost https://host/f now"),
        (httpx2.ReadError(""), "ReadError"),
    ],
)
def test_failures_in_words(failure: int | Exception, text: str) -> None:
    assert describe_failure(failure) == text


def test_errors_of_the_http_library_say_where() -> None:
    with pytest.raises(NetworkError, match=r"^here: no response in time$"), map_http_errors("here"):
        raise httpx2.ConnectTimeout("x")


def request(method: str, **headers: str) -> httpx2.Request:
    return httpx2.Request(method, "https://host/a", content=b"x", headers=headers)


@pytest.mark.parametrize(
    ("method", "failure", "expected"),
    [
        ("GET", 503, True),
        ("HEAD", httpx2.ReadError("x"), True),
        ("POST", 503, False),
        ("POST", httpx2.ReadError("x"), False),
        ("POST", 429, True),
        ("POST", httpx2.ConnectError("x"), True),
    ],
)
def test_what_may_be_sent_again(method: str, failure: int | Exception, expected: bool) -> None:
    assert is_retryable(request(method), failure) is expected


def test_an_idempotent_write_may_be_sent_again_but_not_a_stream() -> None:
    assert is_retryable(request("POST", **{"Idempotency-Key": "1"}), 500)
    streamed = httpx2.Request("POST", "https://host/a", content=iter([b"x"]), headers={"Idempotency-Key": "1"})
    assert not is_retryable(streamed, 500)


def test_a_certificate_that_is_not_valid_is_not_retried() -> None:
    error = httpx2.ConnectError("x")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed")
    assert not is_retryable(request("GET"), error)


@pytest.mark.parametrize("url", ["http://host/a", "https://host:8443/a?b=c", "HTTPS://[::1]/"])
def test_urls_that_are_fetched(url: str) -> None:
    assert validate_url(url) == url


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "nonsense", "http://", "http://host:x/"])
def test_urls_that_are_not_fetched(url: str) -> None:
    with pytest.raises(NetworkError, match="only http and https"):
        validate_url(url)


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    with pytest.raises(NetworkError, match=r'put a token under \[auth\."https://host"\]') as caught:
        validate_url("https://user:s3cret@host/x?y=s3cret")
    assert "s3cret" not in str(caught.value)
