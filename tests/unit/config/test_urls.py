"""URLs: origins, what of them may be shown, mirrors."""

from __future__ import annotations

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config.urls import apply_mirrors, origin, redact_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Host.Example/a/b?c=d", "https://host.example"),
        ("https://host:443/", "https://host"),
        ("http://host:80", "http://host"),
        ("http://host:443/", "http://host:443"),
        ("https://user:pw@host:8443/x", "https://host:8443"),
        ("HTTPS://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
    ],
)
def test_origin(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url", ["", "host/a", "file:///etc", "ftp://host", "https://", "https://host:port/", "http://[x"]
)
def test_urls_without_an_origin(url: str) -> None:
    with pytest.raises(UsageError):
        origin(url)


def test_an_error_does_not_show_a_password() -> None:
    with pytest.raises(UsageError) as caught:
        origin("ftp://user:s3cret@host/x?key=s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/a?X-Signature=abc", "https://host/a"),
        ("https://host/a#key=abc", "https://host/a"),
        ("https://user:pw@host:8443/a", "https://host:8443/a"),
        ("https://us@er:p@ss@host/a@b", "https://host/a@b"),
        ("https://user:pw@host", "https://host"),
        ("plain text", "plain text"),
    ],
)
def test_redacted_urls(url: str, expected: str) -> None:
    assert redact_url(url) == expected


MIRRORS = {"https://zoo.example/": "http://mirror/all/", "https://zoo.example/big/": "http://disk/"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://zoo.example/a?b=c", "http://mirror/all/a?b=c"),
        ("https://zoo.example/big/a", "http://disk/a"),
        ("https://zoo.example.org/a", "https://zoo.example.org/a"),
        ("http://zoo.example/a", "http://zoo.example/a"),
    ],
)
def test_the_longest_mirrored_prefix_is_replaced(url: str, expected: str) -> None:
    assert apply_mirrors(url, MIRRORS) == expected


def test_without_mirrors_a_url_stays() -> None:
    assert apply_mirrors("https://host/a", {}) == "https://host/a"
