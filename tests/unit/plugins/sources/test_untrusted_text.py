"""Texts from outside."""

from __future__ import annotations

import pytest

from filtercrawl_plugins.sources.shared.untrusted_text import sanitize_list, sanitize_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(" a \n b ", "a b"), ("", None), ("   ", None), (3, None), (None, None), ("a\0b", None), ("x" * 201, None)],
)
def test_sanitize_text(value: object, expected: str | None) -> None:
    assert sanitize_text(value) == expected


def test_sanitize_list() -> None:
    assert sanitize_list(["a", "b", "a", 3, "\0"]) == ("a", "b")
    assert sanitize_list("a") == ("a",)
    assert sanitize_list(None) == ()
    assert len(sanitize_list([str(number) for number in range(100)])) == 64
