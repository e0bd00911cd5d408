"""The words that the report explains are those of the glossary."""

from __future__ import annotations

import pytest

from filtercrawl_analysis.report.glossary import WORDS
from support.paths import REPOSITORY

GLOSSARY = (REPOSITORY / "docs/glossary.md").read_text("utf-8")


@pytest.mark.parametrize(("word", "meaning"), WORDS.items(), ids=list(WORDS))
def test_words_of_the_report_have_the_text_of_the_glossary(word: str, meaning: str) -> None:
    assert GLOSSARY.count(f"| {word} | {meaning} |\n") == 1
    assert GLOSSARY.count(f"\n| {word} | ") == 1
