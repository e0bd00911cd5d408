"""URLs as messages may show them."""

from __future__ import annotations

import pytest

from filtercrawl.config.urls import redact_urls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no URL here?sig=1", "no URL here?sig=1"),
        ("https://host.example/a?sig=secret", "https://host.example/a"),
        ("see https://me:secret@host.example/a#secret, then retry", "see https://host.example/a, then retry"),
        ("'http://a.example/x?t=secret' and (https://b.example/y?t=secret)", "'http://a.example/x' and (https://b.example/y)"),
        ("https://host.example/a: answers 403", "https://host.example/a: answers 403"),
    ],
)  # fmt: skip
def test_credentials_are_removed_and_the_rest_stays(text: str, expected: str) -> None:
    assert redact_urls(text) == expected
