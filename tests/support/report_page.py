"""A report as a browser sees it: tags, ids, links, pictures and what a reader reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

_VOID: Final = frozenset({"meta", "img", "source", "br", "link", "input", "hr"})


@dataclass
class Page(HTMLParser):
    """problems: what is wrong with the markup; headings: level and id; text: all that is shown."""

    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text("utf-8"))
        page.close()
        if page._open:
            page.problems.append(f"never closed: {page._open}")
        return page

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        if len(found) < len(attrs):
            self.problems.append(f"an attribute twice in {tag}")
        self.attributes += [(tag, name, value) for name, value in found.items()]
        if tag not in _VOID:
            self._open.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found.get("href", ""))
        if tag in ("img", "source"):
            self.pictures.append({"tag": tag, **found})
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append((int(tag[1]), found.get("id", "")))
        self.references += found.get("aria-labelledby", "").split()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self.shown.append(data)
