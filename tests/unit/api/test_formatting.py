"""Numbers, verbs and names as sentences for people have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.formatting import shorten, shorten_words, shown, unknown_column, verb


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("famly", "'famly'; the nearest is family; the page Schema of the documentation lists all"),
        ("Kernels", "'Kernels'; the nearest are kernel, n_kernels; the page Schema of the documentation lists all"),
        ("colour", "'colour'; the page Schema of the documentation lists all"),
    ],
)
def test_of_many_columns_the_nearest_are_named(name: str, said: str) -> None:
    assert unknown_column(name, ["task", "family", "kernel", "n_kernels", "Depth"]) == said


def test_verbs_agree_with_their_number() -> None:
    assert [verb(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]


@given(st.text(), st.integers(3, 40))
def test_shortened_text_keeps_its_ends(text: str, length: int) -> None:
    short = shorten(text, length)
    assert len(short) == min(len(text), length)
    if len(text) > length:
        middle = (length - 1) // 2
        assert short[middle] == "…"
        assert text.startswith(short[:middle])
        assert text.endswith(short[middle + 1 :])


def test_long_words_are_shortened_and_others_stay() -> None:
    name = "local/" + "a" * 200 + ".pt"
    assert shorten_words(f"1 of 2 layers:  {name} (3)", 20) == "1 of 2 layers:  local/aaa…aaaaaaa.pt (3)"


def test_any_value_is_shown_in_one_short_printable_line() -> None:
    for value in (None, True, 1.5, 10**5000, "\ud800" * 1000, ["\n"] * 100, object(), b"\xff", [[2**200]]):
        assert shown(value).isascii()
        assert shown(value).isprintable()
        assert len(shown(value)) < 500
