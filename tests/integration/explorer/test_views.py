"""The scatter plot, the page of a model, and the comparison of two groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

from support.explorer_page import PageOpener, counted, counts_of, distinct_colors, wait_for_counts

if TYPE_CHECKING:
    from playwright.sync_api import Page

X, Y = "variance_entropy_norm", "sparsity"
BEFORE, AFTER = "timm/convnext_tiny.fb_in22k", "timm/convnext_tiny.fb_in22k_ft_in1k"


def query_of(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def within(rows: pd.DataFrame, brush: str) -> pd.DataFrame:
    left, right, low, high = map(float, brush.split(","))
    return rows[rows[X].between(left, right) & rows[Y].between(low, high)]


def test_a_part_of_the_scatter_plot_is_marked_and_its_layers_are_shown(
    open_page: PageOpener, index: pd.DataFrame
) -> None:
    page = open_page("?view=scatter")
    expect(page.get_by_role("img", name=f"{len(index)} of {len(index)} layers have both")).to_be_visible()
    assert distinct_colors(page, ".plot canvas") > 2
    box = page.locator(".overlay").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.6)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 20, steps=4)
    page.mouse.up()
    expect(page.locator(".chip")).to_have_count(1)
    chosen = within(index, query_of(page)["brush"])
    assert 0 < len(chosen) < len(index)
    assert counted(page) == counts_of(chosen)
    expect(page.locator("#panel-scatter .strip")).to_have_count(len(chosen))
    page.locator("#panel-scatter .strip").first.scroll_into_view_if_needed()
    expect(page.locator("#panel-scatter .strip-picture").first).to_be_enabled()
    page.reload()
    wait_for_counts(page)
    assert counted(page) == counts_of(chosen)


def test_the_marked_part_is_given_by_numbers_and_becomes_a_filter(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page("?view=scatter")
    least = page.get_by_role("form", name="Marked part").get_by_label("sparsity, from")
    least.fill("0.01")
    least.press("Tab")
    page.get_by_role("button", name="Keep as filter").click()
    expect(page.locator(".chip")).to_have_count(3)  # two filters, and one that clears both
    chosen = index[index.sparsity >= 0.01]
    assert 0 < len(chosen) < len(index)
    assert counted(page) == counts_of(chosen)
    assert "brush" not in query_of(page)
    page.get_by_role("tab", name="Kernels").click()
    expect(page.locator(".card")).to_have_count(len(chosen))


def test_other_measures_and_colors_are_chosen(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page("?view=scatter")
    page.get_by_label("Vertical", exact=True).select_option("orthogonality")
    page.get_by_label("Color", exact=True).select_option("kernel")
    expect(page.locator(".legend li")).to_have_count(index.kernel.nunique())
    expect(page.get_by_role("img", name="Scatter plot of orthogonality")).to_be_visible()
    assert {"y": "orthogonality", "color": "kernel"}.items() <= query_of(page).items()
    page.get_by_label("log vertical").check()
    expect(page.locator(".legend li")).to_have_count(index.kernel.nunique())


def test_layers_that_a_logarithm_leaves_out_are_counted(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page("?view=scatter&ylog=1")
    both = index[index[X].notna() & index[Y].notna()]
    zeros = int((both[Y] <= 0).sum())
    assert 0 < zeros < len(both)
    status = page.locator("#panel-scatter").get_by_role("status")
    expect(status).to_contain_text(f"{len(both) - zeros} layers in the plot")
    expect(status).to_contain_text(f"{zeros} layers left out")


def test_single_kernels_lie_at_their_scores_along_the_eigenkernels(open_page: PageOpener, viewed_dataset: Path) -> None:
    kernels = pd.read_parquet(viewed_dataset / "data/samples/part.parquet").query("kernel == '3x3'")
    basis = pd.read_parquet(viewed_dataset / "analysis/tables/eigenkernels.parquet").query("kernel == '3x3'")
    values = np.stack(kernels["values"].to_list()).astype(float)
    scaled = values / abs(values).max(axis=1, keepdims=True)
    scores = (scaled - np.stack(basis["mean"].to_list())[0]) @ np.stack(basis["vector"].to_list())[:2].T
    low, high = np.round(np.quantile(scores[:, 0], [0.3, 0.7]), 4)
    marked = kernels.kernel_id[(scores[:, 0] >= low) & (scores[:, 0] <= high)]

    page = open_page("?view=scatter&points=kernels&f.kernel=3x3")
    panel = page.locator("#panel-scatter")
    expect(panel.get_by_role("status")).to_contain_text(f"{len(kernels):,} kernels in the plot")
    form = panel.get_by_role("form", name="Marked part")
    form.get_by_label("component c0, from").fill(str(low))
    form.get_by_label("component c0, to").fill(str(high))
    form.get_by_label("component c0, to").press("Enter")
    expect(panel.get_by_role("status")).to_have_text(f"{len(marked):,} kernels in the marked part")
    shown = panel.locator(".pictures button")
    assert {shown.nth(place).get_attribute("title") for place in range(20)} <= set(marked)
    shown.first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_model_has_its_layers_by_depth_and_its_relatives(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page()
    page.get_by_role("tab", name="Model").click()
    page.locator("#panel-model").get_by_role("link", name=AFTER).click()
    layers = index[index.model_id == AFTER].sort_values("conv_depth")
    names = page.locator("#panel-model .strip-name")
    expect(names).to_have_count(len(layers))
    assert names.all_inner_texts() == layers.layer.tolist()
    panel = page.locator("#panel-model")
    expect(panel.locator(".small-plot")).to_have_count(4)
    expect(panel.get_by_role("table")).to_contain_text(BEFORE)
    expect(panel).to_contain_text("The family of this model is unknown")
    panel.locator(".strip-picture").first.click()
    expect(page.get_by_role("dialog")).to_contain_text(AFTER)
    page.keyboard.press("Escape")
    panel.get_by_role("table").get_by_role("link", name=BEFORE, exact=True).click()
    expect(panel.get_by_role("heading", level=2)).to_have_text(BEFORE.removeprefix("timm/"))
    assert query_of(page) == {"view": "model", "model": BEFORE}
    page.go_back()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_two_models_are_compared(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page(f"?view=model&model={quote(AFTER)}")
    page.get_by_role("button", name="Compare with another").click()
    panel = page.locator("#panel-compare")
    second = panel.get_by_role("group", name="Second group")
    second.get_by_label("Layers with").select_option("model_id")
    second.get_by_label("model", exact=True).select_option("timm/resnet18.a1_in1k")
    expect(panel.locator("section.side-b .strip")).to_have_count(3)
    numbers = [int((index.model_id == model).sum()) for model in (AFTER, "timm/resnet18.a1_in1k")]
    expect(panel.get_by_role("status")).to_have_text(f"{numbers[0]} layers against {numbers[1]} layers")
    expect(panel).to_contain_text("How they are related")
    asked = query_of(page)
    assert asked["a"] == urlencode({"model_id": AFTER})
    second.get_by_label("model", exact=True).select_option(BEFORE)
    expect(panel.locator("section.side-b h3")).to_have_text(BEFORE)
    expect(panel).to_contain_text("common layers are equal")
    page.go_back()
    expect(panel.locator("section.side-b h3")).to_have_text("timm/resnet18.a1_in1k")


def test_two_groups_are_compared_within_the_filters(open_page: PageOpener, index: pd.DataFrame) -> None:
    a, b = urlencode({"kernel": "3x3"}), urlencode({"kernel": "7x7"})
    page = open_page(f"?{urlencode({'view': 'compare', 'a': a, 'b': b, 'f.architecture': 'convnext_tiny'})}")
    panel = page.locator("#panel-compare")
    rows = index[index.architecture == "convnext_tiny"]
    for side, size in (("a", "3x3"), ("b", "7x7")):
        models, kernels = rows.model_id.nunique(), int(rows[rows.kernel == size].n_kernels.sum())
        expect(panel.locator(f"section.side-{side}")).to_contain_text(f"{models} models")
        expect(panel.locator(f"section.side-{side}")).to_contain_text(f"{kernels:,} kernels")
    expect(panel).to_contain_text("Only kernels of one size are compared")
    first = panel.get_by_role("group", name="First group")
    first.get_by_role("button", name="Remove").click()
    expect(panel).to_contain_text("Choose two groups of layers")


def test_the_drift_between_two_groups_is_that_of_the_analysis(open_page: PageOpener, viewed_dataset: Path) -> None:
    drift = pd.read_parquet(viewed_dataset / "analysis/tables/drift_architecture.parquet")
    pair = drift[(drift.group_a == "resnet18") & (drift.group_b == "convnext_tiny")]
    a, b = urlencode({"architecture": "convnext_tiny"}), urlencode({"architecture": "resnet18"})
    page = open_page(f"?{urlencode({'view': 'compare', 'a': a, 'b': b})}")
    table = page.locator("#panel-compare").get_by_role("table")
    expect(table.locator("tbody tr")).to_have_count(len(pair))
    expect(table).to_contain_text(pair.iloc[0].kernel)
    expect(table).to_contain_text(pair.iloc[0].verdict)
    expect(table).to_contain_text(pair.iloc[0].note)


def test_the_command_is_named_where_an_analysis_was_not_made(open_page: PageOpener) -> None:
    a, b = urlencode({"task": "image-segmentation"}), urlencode({"task": "image-classification"})
    page = open_page(f"?{urlencode({'view': 'compare', 'a': a, 'b': b})}")
    expect(page.locator("#panel-compare")).to_contain_text("filtercrawl analyze --only drift --by task")


@pytest.mark.parametrize("query", ["f.nothing=1", "sort=-nothing", "view=compare&a=nothing%3D1&b=kernel%3D3x3"])
def test_an_address_with_a_column_that_is_not_there_shows_the_rest(
    open_page: PageOpener, index: pd.DataFrame, query: str
) -> None:
    page = open_page(f"?{query}")
    expect(page.locator("#main")).to_contain_text("no column nothing")
    assert counted(page)[0] == len(index)


def test_a_model_is_compared_with_the_others_of_its_architecture(open_page: PageOpener, index: pd.DataFrame) -> None:
    page = open_page(f"?{urlencode({'view': 'model', 'model': BEFORE})}")
    page.get_by_role("link", name="Compare with the others of convnext_tiny").click()
    query = query_of(page)
    assert parse_qs(query["a"]) == {"model_id": [BEFORE]}
    assert parse_qs(query["b"]) == {"architecture": ["convnext_tiny"], "model_id!": [BEFORE]}
    panel = page.locator("#panel-compare")
    expect(panel.locator("section.side-b h3")).to_have_text(f"convnext_tiny, without {BEFORE}")
    others = index[(index.architecture == "convnext_tiny") & (index.model_id != BEFORE)]
    expect(panel.locator("section.side-b")).to_contain_text(f"{others.model_id.nunique()} model")
    expect(panel.locator("section.side-b")).to_contain_text(f"{len(others)} layers")
    expect(panel.get_by_role("group", name="Second group").get_by_label("model, left out", exact=True)).to_have_value(
        BEFORE
    )


def test_a_model_may_stand_for_a_group_in_the_address(open_page: PageOpener) -> None:
    page = open_page(f"?view=compare&a={BEFORE}&b=architecture=resnet18")
    panel = page.locator("#panel-compare")
    expect(panel.locator("section.side-a h3")).to_have_text(BEFORE)
    expect(panel.locator("section.side-b h3")).to_have_text("resnet18")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?kernel=timm/resnet18.a1_in1k%231.weight:5:7", "Verdict of quality"),
        ("?view=model&model=timm/resnet18.a1_in1k", "verdict: outliers"),
    ],
)
def test_a_verdict_is_shown_however_late_its_table_comes(open_page: PageOpener, query: str, shown: str) -> None:
    page = open_page(query, late="**/layer_quality.parquet")
    expect(page.locator("dialog[open], #panel-model:not([hidden])")).to_contain_text(shown)
