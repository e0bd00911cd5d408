"""Names and texts from outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_plugins.sources.shared.untrusted_text import escape_name, is_safe_name, sanitize_list, sanitize_text


@pytest.mark.parametrize("name", ["net.pt", "größe/模型.pt", "a b", "back\\slash", ""])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a\nb", r"a\x0ab"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\udcff.pt", r"\xff.pt"),
        ("\ud800x", r"\U0000d800x"),
        ("\u202egnp", r"\U0000202egnp"),
        (r"a\x0ab", r"a\x5cx0ab"),
    ],
)
def test_unsafe_names_are_escaped(name: str, escaped: str) -> None:
    assert not is_safe_name(name)
    assert escape_name(name) == escaped


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_escaping_is_injective_and_printable(first: str, second: str) -> None:
    assert escape_name(first).isprintable()
    assert (first == second) == (escape_name(first) == escape_name(second))


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
