"""Pictures of the documentation: small, and told to those who cannot see them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.paths import REPOSITORY

PAGES = {page: page.read_text("utf-8") for page in (REPOSITORY / "docs").rglob("*.md")}
PICTURES = sorted((REPOSITORY / "docs/pictures").iterdir())
LIMIT_BYTES = 150_000


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_shown_with_a_text_for_it(picture: Path) -> None:
    assert picture.stat().st_size < LIMIT_BYTES
    shown = [
        alt
        for page, text in PAGES.items()
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)#]+)", text)
        if (page.parent / target).resolve() == picture
    ]
    assert shown
    assert all(len(alt) >= 30 for alt in shown)
