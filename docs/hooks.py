"""Hooks of the documentation site: what lies outside of `docs` is shown where the code is."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

TOP = Path(__file__).parents[1]
CODE = "https://github.com/filtercrawl/filtercrawl/blob/main"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links that lead out of `docs` lead to the repository."""
    folder = PurePosixPath("docs", page.file.src_uri).parent

    def linked(match: re.Match[str]) -> str:
        target = (TOP / folder / match[1]).resolve()
        if target.is_relative_to(TOP / "docs") or not target.exists():
            return match[0]
        return f"]({CODE}/{target.relative_to(TOP).as_posix()}{match[2]})"

    return re.sub(r"\]\((\.\./[^)#\s]*)(#[^)]*|)\)", linked, markdown)


def on_post_page(output: str, **_: Any) -> str:
    """Keep the link to the repository, and not the theme's script behind it, which asks GitHub for stars and forks."""
    return output.replace(' data-md-component="source"', "")
