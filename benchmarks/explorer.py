"""Measure the page of `filtercrawl explore` in Chromium on a dataset of many layers.

python benchmarks/explorer.py [LAYERS] [FOLDER]    100,000 layers by default; the folder is kept and used again

With the default number of layers it writes explorer.md, and prints otherwise.

Needs playwright and an installed Chromium or Chrome. Each run is in a browser without a cache. The first picture
counts from the start of the navigation, all other times from the input event until what follows is drawn.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from explorer_data import write_dataset
from playwright.sync_api import Browser, Page, Response, expect, sync_playwright
from ratios import Ratio, record

from filtercrawl.dataset.files.table_files import files_of
from filtercrawl_analysis.explorer.explore import open_explorer
from filtercrawl_analysis.explorer.page import page_files

REPORT: Final = Path(__file__).with_suffix(".md")
RUNS: Final = 7
LAYERS: Final = 100_000
LIMITS: Final = {"first picture": 1500, "filter": 200}
FIRST_PICTURE: Final = "performance.getEntriesByName('first-picture')[0].startTime"
# Milliseconds from an action until the counts have changed and the first cards are drawn again.
ACTION: Final = """async ([act, argument]) => {
    const cards = () => [...document.querySelectorAll(".card")];
    const shown = () => [document.getElementById("counts"), ...cards()].map((node) => node.textContent).join();
    const before = shown();
    const changed = new Promise((resolve) => {
        const check = () => {
            const now = cards();
            const drawn = now.length && now.slice(0, 6).every((card) => card.classList.contains("drawn"));
            if (drawn && shown() !== before) resolve(performance.now());
            else requestAnimationFrame(check);
        };
        requestAnimationFrame(check);
    });
    const actions = {
        filter: (value) => document.querySelector(`.facet input[value="${value}"]`).click(),
        sort: (value) => {
            const choice = document.querySelector("#sort select");
            choice.value = value;
            choice.dispatchEvent(new Event("change"));
        },
        search: (value) => {
            const input = document.getElementById("search");
            input.value = value;
            input.dispatchEvent(new Event("input"));
        },
        jump: (share) => scrollTo(0, document.documentElement.scrollHeight * share),
    };
    const start = performance.now();
    actions[act](argument);
    const late = new Promise((_, reject) => setTimeout(reject, 30000, new Error(`nothing followed from ${act}`)));
    return (await Promise.race([changed, late])) - start;
}"""
# The longest and the median time between frames while the page is scrolled by a tenth of the screen a frame.
SCROLL: Final = """async () => {
    const gaps = [];
    let last = performance.now();
    for (let frame = 0; frame < 120; frame++) {
        scrollBy(0, innerHeight / 10);
        await new Promise(requestAnimationFrame);
        gaps.push(performance.now() - last);
        last = performance.now();
    }
    return gaps;
}"""
STEPS: Final = (
    ("filter", "filter", "5x5"),
    ("filter, a second value", "filter", "7x7"),
    ("sort by a number", "sort", "orthogonality"),
    ("sort by a category", "sort", "family"),
    ("search, with the pause after typing", "search", "family7 conv2"),
    ("search, nothing left of it", "search", ""),
    ("jump to the middle", "jump", 0.5),
)


@dataclass(frozen=True)
class Sent:
    """One response.

    Attributes:
        asked: When it was asked for, in milliseconds since 1970.
        is_page: Whether it is the page itself, not the dataset.
        size: Bytes.
    """

    asked: float
    is_page: bool
    size: int


def run(browser: Browser, url: str) -> tuple[dict[str, float], dict[str, list[Sent]]]:
    """Return milliseconds by step, and what was asked for before the first picture and until all columns were there."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    responses: list[Response] = []
    context.on("response", lambda response: responses.append(response))  # noqa: PLW0108 - playwright marks it
    page = context.new_page()
    page.goto(url, wait_until="commit")
    page.wait_for_selector(".card.drawn")
    expect(page.locator("#counts")).not_to_be_empty()
    page.wait_for_selector(".facet input[value='5x5']")
    page.wait_for_timeout(1500)  # columns that tell whether a filter is of use are read last
    times: dict[str, float] = {"first picture": page.evaluate(FIRST_PICTURE)}
    drawn = page.evaluate("performance.timeOrigin") + times["first picture"]
    traffic = [sent(response) for response in responses]
    parts = {"first picture": [each for each in traffic if each.asked < drawn], "all columns": traffic}
    for name, action, argument in STEPS:
        times[name] = page.evaluate(ACTION, [action, argument])
        expect(page.locator(".card:not(.drawn)")).to_have_count(0)
        page.wait_for_timeout(200)
    times |= scrolled(page)
    context.close()
    return times, parts


def sent(response: Response) -> Sent:
    size = int(response.headers.get("content-length", 0))
    return Sent(response.request.timing["startTime"], "/dataset/" not in response.url, size)


def scrolled(page: Page) -> dict[str, float]:
    page.evaluate("scrollTo(0, 0)")
    gaps: list[float] = page.evaluate(SCROLL)
    return {"frame while scrolling, median": statistics.median(gaps), "frame while scrolling, longest": max(gaps)}


def compare(layers: int, runs: list[dict[str, float]]) -> None:
    """Record the medians as shares of their limits."""
    for name in runs[0]:
        limit = LIMITS.get(name.partition(",")[0])
        if limit is not None:
            value = statistics.median(times[name] for times in runs) / limit
            record([Ratio(what=f"{name}, {layers:,} layers, time", peer=f"{limit:,} ms", value=value, at_most=1)])


def report(layers: int, folder: Path, browser: str, runs: list[tuple[dict[str, float], dict[str, list[Sent]]]]) -> str:
    sizes = {name: sum(path.stat().st_size for path in files_of(folder, name)) for name in ("index", "samples")}
    own = sum(path.stat().st_size for path in page_files().values())
    vendor = sum(path.stat().st_size for name, path in page_files().items() if name.startswith("vendor/"))
    lines = [
        "# The explorer, measured",
        "",
        f"Written by `python benchmarks/explorer.py`; {platform.machine()}, {browser}, {layers:,} layers. `index` has "
        f"{sizes['index'] / 1e6:.1f} MB, `samples` {sizes['samples'] / 1e6:.0f} MB; the page itself "
        f"{own / 1e3:.0f} kB, {vendor / 1e3:.0f} kB of which read Parquet. {len(runs)} runs, each in a browser "
        f"without a cache, from a server on the same machine with {os.cpu_count()} cores, on which "
        f"{os.getloadavg()[1]:.0f} processes wanted to run.",
        "",
        "| step | median, ms | fastest, ms | limit, ms |",
        "|---|---:|---:|---:|",
    ]
    for name in runs[0][0]:
        values = [times[name] for times, _ in runs]
        limit = LIMITS.get(name.partition(",")[0], "")
        lines.append(f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {limit} |")
    lines += ["", "| until | requests | of the page, MB | of the dataset, MB |", "|---|---:|---:|---:|"]
    for name, traffic in runs[-1][1].items():
        page, dataset = (sum(each.size for each in traffic if each.is_page is kind) / 1e6 for kind in (True, False))
        lines.append(f"| {name} | {len(traffic)} | {page:.2f} | {dataset:.2f} |")
    return "\n".join(lines) + "\n"


def browser_path() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        raise SystemExit("no Chromium or Chrome was found")
    return found


def main() -> None:
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else LAYERS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        if not (folder / "data/index").is_dir():
            write_dataset(folder, layers)
        with open_explorer(folder) as server, sync_playwright() as playwright:
            runs: list[Any] = []
            for _ in range(RUNS):
                browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
                runs.append(run(browser, server.url))
                version = f"Chromium {browser.version}"
                browser.close()
        compare(layers, [times for times, _ in runs])
        text = report(layers, folder, version, runs)
        print(text)
        if layers == LAYERS:
            REPORT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
