"""The page and its grid: pictures, filters, sort, search, the address, the dialog of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from filtercrawl import load_layers, to_tensors
from filtercrawl_analysis.explorer.explore import write_page
from support.explorer_page import PageOpener, counted, counts_of, distinct_colors, wait_for_counts
from support.loading_dataset import SOBEL

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_pictures_of_all_layers_are_drawn(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page()
    page.wait_for_selector(".card.drawn")
    assert distinct_colors(page, ".card canvas") > 8
    assert counted(page) == counts_of(index)
    assert page.locator(".card").count() == len(index)
    assert page.locator(".card .layer").all_inner_texts() == index.layer.tolist()


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ("f.kernel=3x3", lambda rows: rows.kernel == "3x3"),
        ("f.kernel=4x4&f.kernel=7x7", lambda rows: rows.kernel.isin(["4x4", "7x7"])),
        (
            "f.kernel=3x3&f.task=image-segmentation",
            lambda rows: (rows.kernel == "3x3") & (rows.task == "image-segmentation"),
        ),
        ("f.sparsity=0.01..", lambda rows: rows.sparsity >= 0.01),
        ("f.depthwise=true", lambda rows: rows.depthwise == True),  # noqa: E712 - null is not true
        ("q=resnet+weight", lambda rows: rows.layer_id.str.contains("resnet")),
        ("f.kernel=9x9", lambda rows: rows.kernel == "9x9"),
    ],
)
def test_filters_of_the_address_select_what_a_query_selects(
    open_page: PageOpener, index: pd.DataFrame, query: str, passes: Callable[[pd.DataFrame], pd.Series[bool]]
) -> None:
    page = open_page(f"?{query}")
    assert counted(page) == counts_of(index[passes(index).fillna(False)])


def test_a_filter_is_chosen_kept_in_the_address_and_taken_back(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page()
    page.get_by_role("checkbox", name="7x7").check()
    chosen = counts_of(index[index.kernel == "7x7"])
    expect(page.locator(".chip")).to_have_count(1)
    assert counted(page) == chosen
    assert parse_qs(urlsplit(page.url).query) == {"f.kernel": ["7x7"]}
    page.reload()
    wait_for_counts(page)
    assert counted(page) == chosen
    page.get_by_role("button", name="Remove kernel size: 7x7").click()
    expect(page.locator(".chip")).to_have_count(0)
    assert counted(page) == counts_of(index)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(1)
    assert counted(page) == chosen


def test_layers_are_sorted_by_a_measure_in_both_directions(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page()
    page.get_by_label("Sort by").select_option("sparsity")
    most = index.sort_values("sparsity", ascending=False, kind="stable").layer.iloc[0]
    expect(page.locator(".card .layer").first).to_have_text(most)
    page.get_by_role("button", name="Largest first").click()
    page.wait_for_url("**/*sort=sparsity")
    values = page.locator(".card .measure").all_inner_texts()
    assert len(values) == len(index)
    numbers = [float(value.split(": ")[1]) for value in values]
    assert numbers == sorted(numbers)


def test_a_kernel_states_its_layer_its_numbers_and_lines_that_load_it(
    open_page: PageOpener, index: pd.DataFrame, viewed_dataset: Path
) -> None:
    kernels = pd.read_parquet(viewed_dataset / "data/samples/part.parquet")
    row = kernels[kernels.kernel == "4x4"].iloc[5]
    page = open_page(f"?kernel={row.kernel_id.replace('#', '%23')}")
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    layer = index[index.layer_id == row.layer_id].iloc[0]
    assert f"Kernel {row.out_channel}:{row.in_channel}" in dialog.inner_text()
    for fact in (
        row.model_id,
        layer.layer,
        layer.file,
        row.kernel_id,
        " \N{MULTIPLICATION SIGN} ".join(map(str, layer["shape"])),
    ):
        assert fact in dialog.inner_text()
    shown = [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in dialog.locator(".values td").all_inner_texts()]
    assert np.allclose(shown, row["values"], atol=6e-4)
    dialog.get_by_text("With pandas alone").click()
    lines = dialog.locator("pre").all_inner_texts()
    assert len(lines) == 2
    for line in lines:
        found: dict[str, np.ndarray] = {}
        exec(line, found)
        assert np.array_equal(np.asarray(found["kernel"]).ravel(), np.asarray(row["values"]))


def test_the_nearest_of_all_kernels_are_shown(open_page: PageOpener, viewed_dataset: Path) -> None:
    table = load_layers(viewed_dataset, "kernel = '3x3'", ["layer_id"])
    ids, kernels = [], []
    for layer_id, weight in zip(table["layer_id"].to_pylist(), to_tensors(table), strict=True):
        ids += [f"{layer_id}:{out}:{inner}" for out in range(weight.shape[0]) for inner in range(weight.shape[1])]
        kernels.append(weight.reshape(-1, 9).double().numpy())
    directions = np.concatenate(kernels)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sobel = SOBEL.double().numpy().ravel()
    cosines = directions @ (sobel / np.linalg.norm(sobel))
    expected = [ids[place] for place in np.argsort(-cosines)[1:13]]

    page = open_page("?kernel=timm/resnet18.a1_in1k%231.weight:5:7")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".neighbors li")).to_have_count(12)
    shown = dialog.locator(".neighbors button")
    assert [shown.nth(place).get_attribute("title") for place in range(12)] == expected
    assert f"all {len(ids):,} kernels of this size" in dialog.inner_text()
    dialog.get_by_label("Compared").select_option("sign")
    expect(shown.first).to_have_attribute("title", ids[np.argsort(-abs(cosines))[1]])


def test_arrow_keys_step_through_kernels_and_back_closes_the_dialog(
    open_page: PageOpener, viewed_dataset: Path
) -> None:
    page = open_page()
    page.locator(".card.drawn .picture").first.click(position={"x": 12, "y": 12})
    title = page.locator("#kernel-title")
    title.wait_for()
    first = title.inner_text()
    page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text(first)
    page.go_back()
    page.get_by_role("dialog").wait_for(state="hidden")


def test_an_address_of_no_kernel_says_so(open_page: PageOpener) -> None:
    page = open_page("?kernel=timm/nothing%23weight:0:0")
    page.get_by_role("dialog").get_by_text("No such kernel").wait_for()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("view=nothing", "There is no view \N{LEFT DOUBLE QUOTATION MARK}nothing\N{RIGHT DOUBLE QUOTATION MARK}"),
        ("f.sparsity=0.5..0.1", "f.sparsity=0.5..0.1 has its lower bound above its upper one"),
        ("f.sparsity=a..b", "f.sparsity=a..b is neither a number nor a range"),
        ("x=sparsity&y=orthogonality&brush=1,2,3", "brush=1,2,3 is not X0,X1,Y0,Y1"),
    ],
)
def test_an_address_that_is_not_understood_says_why(open_page: PageOpener, query: str, problem: str) -> None:
    expect(open_page(f"?{query}").get_by_role("alert")).to_contain_text(problem)


def test_the_page_from_a_file_says_that_it_needs_a_server(
    browser: Browser, viewed_dataset: Path, tmp_path: Path
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(write_page(viewed_dataset, tmp_path).as_uri())
    expect(page.get_by_text("a web server must send it")).to_be_visible()
    context.close()


def test_pictures_follow_the_theme(open_page: PageOpener) -> None:
    page = open_page()
    page.wait_for_selector(".card.drawn")
    picture = "document.querySelector('.card canvas').toDataURL()"
    light = page.evaluate(picture)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => {picture} !== before", arg=light)
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"before => {picture} === before", arg=light)


def test_a_filter_that_no_layer_passes_can_be_taken_back_in_its_list(
    open_page: PageOpener, index: pd.DataFrame
) -> None:
    page = open_page("?f.kernel=9x9")
    facet = page.locator(".facet[data-name=kernel]")
    expect(facet.locator("li")).to_have_count(1 + index.kernel.nunique())
    page.get_by_role("checkbox", name="9x9").click()
    expect(facet.locator("li")).to_have_count(index.kernel.nunique())
    assert counted(page) == counts_of(index)


def test_bounds_show_a_number_of_the_address(open_page: PageOpener) -> None:
    page = open_page("?f.n_kernels=64")
    for end in ("from", "to"):
        expect(page.get_by_label(f"kernels, {end}")).to_have_value("64")
