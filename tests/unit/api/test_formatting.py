"""Numbers, verbs and names as sentences for people have them."""

from __future__ import annotations

import pytest

from filtercrawl.api.formatting import unknown_column, verb


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
