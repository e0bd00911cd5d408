"""Long tables of the page in an installed browser: sorted, filtered and cited over all rows, offline."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from filtercrawl.api.analysis import CitedRows, Finding, Result, ResultTable
from filtercrawl_analysis.report.sanitize import sanitize
from filtercrawl_analysis.report.table_script import MAX_CELLS, MAX_ROWS
from filtercrawl_analysis.report.table_view import cell
from support.small_report import write_small_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="playwright is not installed")

ROWS = 981
DRAWN = 100
VERDICTS = ["ok", "random", "too small", None]
HOSTILE = "</script><script>window.ran = 1</script>\u2028\u202e \" ' \\ `${1}` <img src=x onerror='window.ran = 1'>"
NUMBERS = np.random.default_rng(0).permutation(ROWS)


def layers() -> pa.Table:
    models = [f"local/net{i // 100}.pt" for i in range(ROWS)]
    return pa.table(
        {
            "layer_id": [f"{model}#conv{i % 100}.weight" for i, model in enumerate(models)],
            "model_id": models,
            "layer_sha256": [f"{i:064x}" for i in range(ROWS)],
            "verdict": [VERDICTS[i % 4] for i in range(ROWS)],
            "license": [HOSTILE if i == 700 else f"license {i % 3}" for i in range(ROWS)],
            "n_kernels": pa.array([None if i == 5 else int(NUMBERS[i]) * 3 for i in range(ROWS)], pa.int64()),
            "sparsity": [float(NUMBERS[i]) / ROWS for i in range(ROWS)],
            "depthwise": [i % 2 == 0 for i in range(ROWS)],
        }
    )


def write(root: Path) -> Path:
    cited = (
        CitedRows(table="layers", where={"verdict": "too small", "model_id": "local/net3.pt"}),
        CitedRows(table="layers", where={"license": HOSTILE}),
        CitedRows(table="layers", where={"depthwise": True, "n_kernels": int(NUMBERS[8]) * 3}),
    )
    finding = Finding(text="Layer 700 has a strange license.", table="layers", row=700, cited_rows=cited)
    return write_small_report(
        root, Result(tables=(ResultTable(name="layers", title="All layers", rows=layers()),), findings=(finding,))
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def served(report: Path) -> Iterator[str]:
    """The same files on a static web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(report.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{report.name}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert page.evaluate("window.ran") is None
    context.close()
    assert problems == []


def open_table(page: Page) -> None:
    page.locator("#analysis-layers > summary").click()
    page.locator("#table-layers > summary").click()
    page.get_by_text(f"{ROWS} rows", exact=True).wait_for()


def heads(page: Page) -> list[str]:
    return page.locator("#table-layers thead th").evaluate_all("heads => heads.map(head => head.title)")


def column(page: Page, name: str) -> list[str]:
    cells = f"#table-layers tbody td:nth-child({1 + heads(page).index(name)})"
    return page.locator(cells).evaluate_all("cells => cells.map(cell => cell.firstChild?.textContent ?? '')")


def sort_by(page: Page, name: str) -> None:
    page.locator(f"#table-layers thead th[title={name}] button").click()


def status(page: Page) -> str:
    return page.locator("#table-layers output").inner_text()


def numbers(page: Page) -> list[int]:
    return [int(text.replace(",", "")) for text in column(page, "n_kernels")]


@pytest.mark.parametrize("place", ["file", "server"])
def test_all_rows_are_sorted_and_not_those_of_the_page_alone(page: Page, report: Path, served: str, place: str) -> None:
    page.goto(report.as_uri() if place == "file" else served)
    open_table(page)
    known = sorted(value for value in layers()["n_kernels"].to_pylist() if value is not None)
    sort_by(page, "n_kernels")
    assert numbers(page) == known[:DRAWN]
    sort_by(page, "n_kernels")
    assert numbers(page) == known[::-1][:DRAWN]
    sort_by(page, "n_kernels")  # the order of the table again
    assert column(page, "layer_id") == [f"conv{i}.weight" for i in range(DRAWN)]


def test_unknown_values_come_last_in_both_directions(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    open_table(page)
    for _ in range(2):
        sort_by(page, "verdict")
        for _ in range(9):
            page.get_by_role("button", name="Next").click()
        assert column(page, "verdict") == [""] * (ROWS % DRAWN)
        assert page.get_by_role("button", name="Next").is_disabled()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("verdict=random", lambda row: row["verdict"] == "random"),
        ('verdict="too small" net9', lambda row: row["verdict"] == "too small" and "net9" in row["model_id"]),
        ("verdict=", lambda row: row["verdict"] is None),
        ("n_kernels>=2000 n_kernels<2100", lambda row: 2000 <= (row["n_kernels"] or 0) < 2100),
        ("n_kernels>=2,000 kernels<2,100", lambda row: 2000 <= (row["n_kernels"] or 0) < 2100),
        ('kernels>" "', lambda row: False),
        ("kernels=", lambda row: row["n_kernels"] is None),
        ("sparsity<=0.01", lambda row: row["sparsity"] <= 0.01),
        ("depthwise=yes NET3", lambda row: row["depthwise"] and "net3" in row["model_id"]),
        ("layer_id=local/net4.pt#conv7.weight", lambda row: row["layer_id"] == "local/net4.pt#conv7.weight"),
        ("net4.pt#conv7", lambda row: "net4.pt#conv7" in row["layer_id"]),
        ("layer:conv77", lambda row: "conv77." in row["layer_id"]),
        (f"{700:064x}", lambda row: row["layer_sha256"] == f"{700:064x}"),
        ("unknown_column=1", lambda row: False),
        ('"license 2" conv1.', lambda row: row["license"] == "license 2" and "#conv1." in row["layer_id"]),
        ('license:""" \'"', lambda row: row["license"] == HOSTILE),
    ],
)
def test_a_filter_is_over_all_rows(page: Page, report: Path, words: str, wanted: Any) -> None:
    page.goto(report.as_uri())
    open_table(page)
    page.get_by_label("Filter rows").fill(words)
    found = [row["layer_id"].partition("#")[2] for row in layers().to_pylist() if wanted(row)]
    assert status(page) == f"{len(found)} of {ROWS} rows"
    assert column(page, "layer_id") == found[:DRAWN]


def test_a_view_is_in_the_address_and_comes_back_from_it(page: Page, browser: Browser, report: Path) -> None:
    page.goto(report.as_uri())
    open_table(page)
    page.get_by_label("Filter rows").fill('verdict="too small" n_kernels>90')
    sort_by(page, "n_kernels")
    sort_by(page, "n_kernels")
    shown, address = column(page, "layer_id"), page.url
    other = browser.new_page()
    other.goto(address)
    other.get_by_text(status(page), exact=True).wait_for()
    assert column(other, "layer_id") == shown
    assert other.get_by_label("Filter rows").input_value() == 'verdict="too small" n_kernels>90'
    assert other.locator("#table-layers thead th[title=n_kernels]").get_attribute("aria-sort") == "descending"
    other.close()


def test_a_finding_leads_to_a_row_far_below_those_of_the_page(page: Page, report: Path) -> None:
    page.goto(report.as_uri())
    page.locator("article a.cited[href^='#row']").click()
    row = page.locator("#row-layers-701.marked")
    row.wait_for()
    assert row.is_visible()
    shown = column(page, "license")
    assert shown[:3] == [sanitize(HOSTILE), "license 2", "license 0"]
    assert not {"\u2028", "\u202e"} & set("".join(shown))
    assert page.get_by_text("Rows 701 to 800").is_visible()


def test_without_a_script_every_link_within_the_page_leads_somewhere(report: Path) -> None:
    text = report.read_text()
    ids = set(re.findall(r'\bid="([^"]+)"', text))
    links = re.findall(r'\bhref="#([^"]*)"', text)
    assert "table-layers" in links
    assert set(links) <= ids


@pytest.mark.parametrize(
    ("link", "found"),
    [
        ("25 rows of “All layers”: too small, local/net3.pt", [f"conv{i}.weight" for i in range(2, 100, 4)]),
        ("1 row of “All layers”: </script>", ["conv0.weight"]),
        ("1 row of “All layers”: depthwise", ["conv8.weight"]),
    ],
)
def test_a_finding_leads_to_all_rows_that_it_counts(page: Page, report: Path, link: str, found: list[str]) -> None:
    page.goto(report.as_uri())
    page.locator("article a.cited", has_text=link).click()
    page.get_by_text(f"{len(found)} of {ROWS} rows", exact=True).wait_for()
    assert column(page, "layer_id") == found
    assert "#table-layers?filter=" in page.url
    page.locator("#table-layers > summary").click()
    page.locator("article a.cited", has_text=link).click()
    assert page.locator("#table-layers").get_attribute("open") is not None
    page.get_by_label("Filter rows").fill("net5")  # and again to what the link says
    page.locator("article a.cited[href^='#row']").click()
    page.locator(".marked").wait_for()
    page.locator("article a.cited", has_text=link).click()
    page.get_by_text(f"{len(found)} of {ROWS} rows", exact=True).wait_for()
    assert column(page, "layer_id") == found


def test_without_its_file_a_table_has_the_rows_of_the_page_and_says_so(browser: Browser, tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "tables/layers.js").unlink()
    page = browser.new_page()
    page.goto(path.as_uri())
    page.locator("#analysis-layers > summary").click()
    page.locator("#table-layers > summary").click()
    page.get_by_text("as the file tables/layers.js is not there").wait_for()
    assert status(page) == "201 rows"
    sort_by(page, "n_kernels")
    first = [value for value in layers()["n_kernels"].to_pylist()[:200] if value is not None]
    assert numbers(page) == sorted([*first, int(NUMBERS[700]) * 3])[:DRAWN]
    page.locator("article a.cited[href^='#row']").click()
    page.locator("#row-layers-701.marked").wait_for()
    page.locator("#table-layers input").fill("layer_id=local/net1.pt#conv7.weight")
    page.get_by_text("1 of 201 rows").wait_for()
    page.goto(f"{path.as_uri()}#row-layers-300")
    page.get_by_text("Row 300 is in the Parquet file alone").wait_for()
    page.close()


def test_a_damaged_address_opens_the_page_all_the_same(page: Page, report: Path) -> None:
    page.goto(f"{report.as_uri()}#%")
    open_table(page)
    page.goto(f"{report.as_uri()}#table-layers?filter=n_kernels<1,000%&sort=%")
    page.get_by_text(f"0 of {ROWS} rows").wait_for()
    page.goto(f"{report.as_uri()}#table-layers?filter=verdict=?")
    page.wait_for_function("document.querySelector('#table-layers input').value === 'verdict=?'")


def test_without_script_the_first_rows_are_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#analysis-layers > summary").click()
    page.locator("#table-layers > summary").click()
    assert page.locator("#table-layers tbody tr:visible").count() == 200 + 1 + 1  # a row on those between
    assert page.locator("#row-layers-701").is_visible()
    assert page.get_by_text(f"The first 200 of {ROWS} rows, and 1 that findings are derived from").is_visible()
    context.close()


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_those_of_the_page_without_script(page: Page, tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    size = 250
    exponents = random.integers(-12, 14, size)
    floats = [
        float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 1.0625, 10.125, 1000.5, -1001.5, 12345.5, 99999.5, 9999.5,
        99.995, 0.00012345, 0.0001, 0.00009999, 1e9, 999999999.5, 1e16, 5e-324, 1.7976931348623157e308,
    ]  # fmt: skip
    ties = [(2 * int(k) + 1) / 2.0**shift for shift in range(12) for k in random.integers(0, 20_000, 5)]
    drawn = [float(value) for value in random.normal(size=size) * 10.0**exponents]
    values = (floats + ties + drawn)[:size]
    lists = [[float(number) for number in random.normal(size=random.integers(0, 8))] for _ in range(size)]
    rows = pa.table(
        {
            "name": [f"row {i}" for i in range(size)],
            "number": pa.array([None if i % 17 == 9 else value for i, value in enumerate(values)]),
            "whole": pa.array([int(value) for value in random.integers(-(10**12), 10**12, size)]),
            "list": lists,
        }
    )
    table = ResultTable(name="layers", title="Numbers", rows=rows)
    page.goto(write_small_report(tmp_path, Result(tables=(table,))).as_uri())
    page.locator("#analysis-layers > summary").click()
    page.locator("#table-layers > summary").click()
    page.get_by_text(f"{size} rows", exact=True).wait_for()
    shown: list[list[str]] = []
    while True:
        shown += page.locator("#table-layers tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        if page.get_by_role("button", name="Next").is_disabled():
            break
        page.get_by_role("button", name="Next").click()
    assert shown == [[cell(value) for value in row.values()] for row in rows.to_pylist()]


@pytest.mark.exhaustive
def test_a_table_of_the_largest_size_is_sorted_and_filtered_at_once(page: Page, tmp_path: Path) -> None:
    rows, columns = MAX_ROWS + 1, MAX_CELLS // MAX_ROWS
    random = np.random.default_rng(0)
    data: dict[str, Any] = {"layer": [f"model {i % 1000} conv{i}" for i in range(rows)]}
    data |= {f"measure_{i}": random.normal(size=rows) for i in range(columns - 1)}
    table = ResultTable(name="layers", title="Many layers", rows=pa.table(data))
    page.goto(write_small_report(tmp_path, Result(tables=(table,))).as_uri())
    page.locator("#analysis-layers > summary").click()
    started = time.monotonic()
    page.locator("#table-layers > summary").click()
    page.get_by_text(f"{MAX_ROWS:,} rows", exact=True).wait_for()
    assert time.monotonic() - started < 10  # a second or two on a machine that does nothing else
    note = page.get_by_text(f"The first {MAX_ROWS:,} of {rows:,} rows; the Parquet file has all.")
    assert note.is_visible()
    started = time.monotonic()
    sort_by(page, "measure_3")
    page.get_by_label("Filter rows").fill("conv77 measure_3>0")
    assert time.monotonic() - started < 5
    kept = [i for i in range(MAX_ROWS) if "conv77" in data["layer"][i] and data["measure_3"][i] > 0]
    kept.sort(key=lambda i: data["measure_3"][i])
    assert column(page, "layer") == [data["layer"][i] for i in kept[:DRAWN]]


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(browser: Browser, report: Path, width: int, theme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    page.goto(report.as_uri())
    open_table(page)
    page.get_by_label("Filter rows").fill("net")
    problems = [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in axe.Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()
    assert problems == []
