"""Views of the explorer in a browser, with what went wrong in them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

DESK = (1400, 1000)
PHONE = (390, 844)


class PageOpener:
    """Opens pages and keeps what they report.

    Attributes:
        problems: Errors and warnings of the console, exceptions and failed requests.
        other_origins: Addresses of requests to other origins.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self.problems: list[str] = []
        self.other_origins: list[str] = []

    def __call__(
        self,
        query: str = "",
        *,
        size: tuple[int, int] = DESK,
        theme: Literal["light", "dark"] = "light",
        late: str | None = None,
    ) -> Page:
        """Open a view and wait until it shows what the address asks for; files of the pattern `late` take a second."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=theme, reduced_motion="reduce"
        )
        context.set_default_timeout(15_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._told(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on("request", self._requested)
        if late is not None:
            page.route(late, _delay)
        page.goto(self._url + query)
        wait_for_counts(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _told(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(f"{kind}: {text}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left
            self.problems.append(f"{request.url}: {request.failure}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self._url, "data:", "blob:")):
            self.other_origins.append(request.url)


def _delay(route: Route) -> None:
    time.sleep(1)
    route.continue_()


def wait_for_counts(page: Page) -> None:
    """Wait until layers are selected."""
    from playwright.sync_api import expect

    expect(page.locator("#counts")).not_to_be_empty()


def counted(page: Page) -> tuple[int, int, int]:
    """Return the numbers of layers, kernels and models that the page states."""
    words = page.locator("#counts").inner_text().replace(",", "").split(" · ")
    layers, kernels, models = (int(word.split()[0]) for word in words)
    return layers, kernels, models


def counts_of(rows: Any) -> tuple[int, int, int]:
    """Return the same of rows of `index`."""
    return len(rows), int(rows.n_kernels.sum()), int(rows.model_id.nunique())


def axe_violations(page: Page) -> list[str]:
    """Return what axe-core finds that is serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def distinct_colors(page: Page, selector: str) -> int:
    """Return how many colors the first canvas of a selector shows."""
    colors: int = page.locator(selector).first.evaluate(
        """canvas => {
          const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )
    return colors
