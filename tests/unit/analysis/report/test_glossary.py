"""Links from words of the page to what they mean."""

from __future__ import annotations

import pytest

from filtercrawl_analysis.report.glossary import link_words


def test_the_first_occurrence_of_a_word_is_a_link_and_other_text_is_escaped() -> None:
    linked = link_words("<b> Drift and drift, of a named form")
    assert linked == (
        '&lt;b&gt; <a class="word" href="#word-drift">Drift</a> and drift, of a <a class="word" '
        'href="#word-named-form">named form</a>'
    )


@pytest.mark.parametrize("text", ["\u017fketch", "dr\u0131ft", "dr\u0130ft"])
def test_letters_that_only_resemble_those_of_a_word_are_no_word(text: str) -> None:
    assert link_words(text) == text
