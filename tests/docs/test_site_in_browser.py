"""The documentation site and the card of a dataset, in an installed browser: on a phone, and for a screen reader."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from filtercrawl.dataset.tables.export import export
from support.dataset_rows import example
from support.paths import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("mkdocs", reason="the extra `docs` installs it")
Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra `test` installs it").Axe

PHONE, DESK = {"width": 390, "height": 800}, {"width": 1400, "height": 900}
# What is wider than the page, but for what scrolls in a box of its own.
TOO_WIDE = """() => [...document.querySelectorAll('article *')].filter(node => {
  for (let box = node.parentElement; box; box = box.parentElement)
    if (getComputedStyle(box).overflowX !== 'visible') return false;
  return node.getBoundingClientRect().right > innerWidth + 1;
}).map(node => node.outerHTML.slice(0, 100))"""
BROKEN = "() => [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)"
# Of the pages, one of each kind; the exhaustive test takes all.
PAGES = ("index.html", "loading/index.html", "howto/training/index.html")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of the built site, and its folder."""
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def faults(page: Page) -> list[str]:
    """What is wrong with a page, by axe: serious and critical."""
    found = Axe().run(page).response["violations"]
    serious = (rule for rule in found if rule["impact"] in ("serious", "critical"))
    return [f"{rule['id']}: {node['html'][:200]}" for rule in serious for node in rule["nodes"]]


def test_pages_fit_and_everybody_can_use_them(browser: Browser, site: tuple[str, Path]) -> None:
    for scheme in ("light", "dark"):
        # The theme remembers the scheme that it began with.
        page = browser.new_page(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]  # types of playwright
        for name in PAGES:
            page.goto(f"{site[0]}/{name}")
            assert page.evaluate(TOO_WIDE) == []
            assert page.evaluate(BROKEN) == []
            assert [fault for fault in faults(page) if "md-search" not in fault] == []
        page.close()


@pytest.mark.exhaustive
def test_no_page_is_wider_than_its_screen(browser: Browser, site: tuple[str, Path]) -> None:
    page = browser.new_page()
    for size in (PHONE, DESK):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for path in sorted(site[1].rglob("index.html")):
            page.goto(f"{site[0]}/{path.relative_to(site[1]).as_posix()}")
            assert (path, page.evaluate(TOO_WIDE), page.evaluate(BROKEN)) == (path, [], [])
    page.close()


def test_the_card_opens_with_kernels_and_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    export(tmp_path, example(tmp_path))
    body = re.sub(r"\A---\n.*?\n---\n", "", (tmp_path / "README.md").read_text("utf-8"), flags=re.DOTALL)
    text = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    # The Hub lets wide tables and code scroll, and pictures shrink.
    style = "table, pre {display: block; overflow-x: auto} img {max-width: 100%}"
    colors = ":root {color-scheme: light dark} a {color: inherit}"
    head = f'<html lang="en"><meta charset="utf-8"><title>Card</title><style>{style} {colors}</style>'
    (tmp_path / "card.html").write_text(f"<!doctype html>{head}<main><article>{text}</article></main>", "utf-8")
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto((tmp_path / "card.html").as_uri())
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        assert page.evaluate(TOO_WIDE) == []
        picture = page.locator("article img").first
        assert picture.evaluate("image => image.naturalWidth") > 800
        box = picture.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < PHONE["height"] / 2
        assert page.locator("article pre").first.inner_text().count("\n") <= 5  # the example with its imports
        scrolled = "scrollable-region-focusable"  # boxes of the page around it, not of the card
        assert [fault for fault in faults(page) if not fault.startswith(scrolled)] == []
    page.close()
