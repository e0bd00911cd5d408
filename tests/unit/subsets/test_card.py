"""The card of a subset."""

from __future__ import annotations

from typing import Any

from filtercrawl.subsets.card import render_card

COUNTS = {"models": 2, "kin_groups": 1, "layers": 3, "kernels": 4000}


def about(excluded: dict[str, int]) -> dict[str, Any]:
    return {
        "name": "mine",
        "version": 2,
        "description": "A | B <script>",
        "layers": {"kept": 3, "excluded": excluded},
        "kernels": {"kept": 4000, "excluded": {}},
        "splits": {"train": COUNTS},
        **dict.fromkeys(("recipe_sha256", "inputs_sha256", "rows_sha256"), "0" * 64),
    }


def test_text_of_the_recipe_is_no_markup() -> None:
    text = render_card(about({}))
    assert "A &#124; B &#60;script&#62;" in text
    assert "| train | 2 | 1 | 3 | 4,000 |" in text


def test_what_is_left_out_is_a_table_where_there_is_any() -> None:
    assert "| of | reason | number |\n|---|---|---|\n| layers | `where` | 7 |" in render_card(about({"where": 7}))
    assert "reason" not in render_card(about({}))
