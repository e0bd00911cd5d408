"""Names from outside are stored printable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.untrusted_names import escape_name, is_safe_name, safe_name


@pytest.mark.parametrize("name", ["net.pt", "größe/模型.pt", "a b", "back\\slash", ""])
def test_safe_names(name: str) -> None:
    assert is_safe_name(name)
    assert safe_name(name) == name


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
    assert safe_name(name) == escape_name(name) == escaped


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_escaping_is_injective_and_printable(first: str, second: str) -> None:
    assert escape_name(first).isprintable()
    assert (first == second) == (escape_name(first) == escape_name(second))
    assert (first == second) == (safe_name(first) == safe_name(second))
