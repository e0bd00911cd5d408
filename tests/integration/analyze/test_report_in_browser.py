"""The page of `analyze` in an installed browser: it sorts, filters, opens what a link leads to, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl.api.analysis import Estimate, Figure, Finding, Result, ResultTable
from filtercrawl_analysis.report.kernel_picture import layer_pictures
from support.memory_view import Layer, MemoryView
from support.small_report import BASIS, write_small_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="playwright is not installed")

ROWS = 40
NUMBERS = [None if i % 10 == 3 else (i * 7 % ROWS) * 1000.5 for i in range(ROWS)]
SIZES = ["depthwise", "patchify", "a name that is longer than any phone is wide, as those of checkpoints are"]


def bars(canvas: Any) -> None:
    canvas.subplots().bar([0, 1], [3, 4])


def result() -> Result:
    rows = pa.table(
        {
            "layer_id": [f"local/net.pt#conv{i}.weight" for i in range(ROWS)],
            "model_id": ["local/net.pt"] * ROWS,
            "layer_sha256": ["0" * 64] * ROWS,
            "kind": [SIZES[i % 3] for i in range(ROWS)],
            "drift": NUMBERS,
            **{f"measure_{i}": [i / 7] * ROWS for i in range(12)},
        }
    )
    finding = Finding(
        text="Layer 31 has the largest drift.",
        table="layers",
        row=31,
        estimate=Estimate(label="drift D", value=0.64, low=0.5, high=0.8, q=0.001),
        columns=("sparsity",),
    )
    figure = Figure(name="bars", title="Bars", caption="As drawn.", basis=BASIS, table="layers", draw=bars)
    return Result(
        tables=(ResultTable(name="layers", title="All layers", rows=rows),), figures=(figure,), findings=(finding,)
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    kernels = np.random.default_rng(0).normal(size=(8, 4, 7, 7)).astype(np.float32)
    view = MemoryView([Layer(model_id="local/net.pt", weight=kernels, facts={"layer": "conv1"})])
    pictures = layer_pictures(view)  # type: ignore[arg-type]
    return write_small_report(tmp_path_factory.mktemp("report"), result(), pictures=pictures).as_uri()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def column(page: Page, name: str) -> list[str]:
    cells = page.locator(f"#table-layers tbody tr:not([hidden]) td:nth-child({position(page, name)})")
    return [text.removesuffix("copy id").rstrip() for text in cells.all_inner_texts()]


def position(page: Page, name: str) -> int:
    heads = page.locator("#table-layers thead th")
    return 1 + [heads.nth(i).get_attribute("title") for i in range(heads.count())].index(name)


def open_table(page: Page) -> None:
    page.locator("#analysis-layers > summary").click()
    page.locator("#table-layers > summary").click()
    page.locator("#table-layers input").wait_for()


def test_a_click_on_a_head_sorts_by_number_with_unknown_values_last(page: Page) -> None:
    open_table(page)
    known = sorted(number for number in NUMBERS if number is not None)
    head = page.locator("#table-layers thead th[title=drift]")
    for order, expected in (("ascending", known), ("descending", known[::-1])):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == order
        shown = column(page, "drift")
        assert shown[len(known) :] == [""] * (ROWS - len(known))
        numbers = [float(text.replace(",", "")) for text in shown[: len(known)]]
        assert numbers == pytest.approx(expected, rel=1e-3)
    page.locator("#table-layers thead th[title=layer_id]").get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert column(page, "layer_id") == [f"conv{i}.weight" for i in range(ROWS)]


def test_words_filter_the_rows(page: Page) -> None:
    open_table(page)
    box = page.get_by_label("Filter rows")
    box.fill("copy id")  # of buttons, not of rows
    assert page.locator("tbody tr:visible").count() == 0
    box.fill("PATCH conv1")
    assert column(page, "layer_id") == [f"conv{i}.weight" for i in range(ROWS) if i % 3 == 1 and str(i)[0] == "1"]
    assert page.locator("#table-layers output").inner_text() == f"{len(column(page, 'layer_id'))} of {ROWS} rows"
    box.fill("")
    assert len(column(page, "layer_id")) == ROWS


def test_hashes_are_out_of_sight_and_ids_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_table(page)
    assert "0" * 64 not in page.locator("#table-layers").inner_text()
    row = page.locator("#table-layers tbody tr").nth(5)
    assert "0" * 64 in (row.get_attribute("title") or "")
    row.get_by_role("button").click()
    row.get_by_text("copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "local/net.pt#conv5.weight"


def test_a_link_opens_the_folds_around_its_row(page: Page) -> None:
    row = page.locator("#row-layers-32")
    assert not row.is_visible()
    page.locator("article a.cited").click()
    row.wait_for()
    assert row.is_visible()
    assert page.locator("#table-layers thead button").count() > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_as_wide_as_the_screen(browser: Browser, url: str, width: int, theme: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    page = context.new_page()
    page.goto(url)
    open_table(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    box, table = (page.locator(selector) for selector in ("#table-layers .scroll", "#table-layers table"))
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    box.evaluate("box => box.scrollTo(500, 0)")
    left = box.evaluate("box => box.getBoundingClientRect().left + box.clientLeft")
    first = table.locator("tbody td").first.evaluate("cell => cell.getBoundingClientRect().left")
    assert first == pytest.approx(left, abs=1)  # the first column stays in sight
    context.close()


def test_what_is_printed_has_its_sections_open(page: Page) -> None:
    assert not page.locator("#analysis-layers").get_attribute("open")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#analysis-layers").get_attribute("open") is not None


def test_nothing_is_loaded_before_a_fold_is_opened(page: Page) -> None:
    assert page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)") == []


@pytest.mark.parametrize(
    "injected",
    [
        "<script>window.ran = 1</script>",
        "<script src='injected.js'></script>",
        "<img src='data:,' onerror='window.ran = 1'>",
        "<a href='javascript:window.ran = 1' id='injected'>x</a>",
    ],
)
def test_a_script_that_gets_into_the_page_does_not_run(browser: Browser, url: str, injected: str) -> None:
    path = Path(url.removeprefix("file://"))
    (path.parent / "injected.js").write_text("window.ran = 1")
    copy = path.with_name("injected.html")
    copy.write_text(path.read_text("utf-8").replace("</h1>", f"</h1>{injected}", 1), "utf-8")
    page = browser.new_page()
    page.goto(copy.as_uri())
    for link in page.locator("#injected").all():
        link.click()
    page.wait_for_timeout(50)
    assert page.evaluate("window.ran") is None
    assert page.evaluate("typeof filtercrawlTable") == "function"  # the page's own script did
    page.close()


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(browser: Browser, url: str, width: int, theme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    page.goto(url)
    open_table(page)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    problems = [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in axe.Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    page.close()
    assert problems == []


def test_the_page_is_valid_html(url: str) -> None:
    text = Path(url.removeprefix("file://")).read_text("utf-8")
    html5lib.HTMLParser(strict=True).parse(text)  # raises where a browser would have to guess
