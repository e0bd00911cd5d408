"""Hooks of the documentation site: what lies outside of `docs` is shown where the code is."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

TOP = Path(__file__).parents[1]
CODE = "https://github.com/filtercrawl/filtercrawl/blob/main"
# Pages that come with the features they describe.
AWAITED = {"loading.md", "publishing.md", "versions.md"}


def on_config(config: Any) -> Any:
    """Leave out of the navigation what is not written yet."""
    for section in config["nav"]:
        for title, pages in section.items():
            if isinstance(pages, list):
                section[title] = [page for page in pages if there(next(iter(page.values())))]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that lead out of `docs` lead to the repository."""
    folder = PurePosixPath("docs", page.file.src_uri).parent

    def linked(match: re.Match[str]) -> str:
        target = (TOP / folder / match[1]).resolve()
        if target.is_relative_to(TOP / "docs") or not target.exists():
            return match[0]
        return f"]({CODE}/{target.relative_to(TOP).as_posix()}{match[2]})"

    return re.sub(r"\]\((\.\./[^)#\s]*)(#[^)]*|)\)", linked, markdown)


def there(page: str) -> bool:
    return page not in AWAITED or (TOP / "docs" / page).is_file()
