"""Every view for people who use a keyboard, a screen reader, a phone, or a dark theme."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from support.explorer_page import PHONE, PageOpener, axe_violations

# View -> query, and what is on the page when it is complete.
VIEWS = {
    "grid": ("?f.kernel=3x3&sort=-sparsity", ".card.drawn"),
    "nothing": ("?f.kernel=9x9", ".empty"),
    "scatter": ("?view=scatter&color=kernel&x=variance_entropy_norm&y=sparsity&brush=0,1,0,0.001", ".strip canvas"),
    "models": ("?view=model", "#panel-model .strip canvas"),
    "model": ("?view=model&model=timm/convnext_tiny.fb_in22k", "#panel-model table"),
    "compare": ("?view=compare&a=kernel%3D3x3&b=kernel%3D7x7", "#panel-compare .outline"),
    "kernel": ("?kernel=timm/resnet18.a1_in1k%231.weight:5:7", "dialog[open] .neighbors li"),
}


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest) -> tuple[str, str]:
    return VIEWS[request.param]


def test_axe_finds_nothing_serious_and_nothing_is_wider_than_a_phone(
    open_page: PageOpener, view: tuple[str, str]
) -> None:
    query, complete = view
    page = open_page(query)
    expect(page.locator(complete).first).to_be_visible()
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert axe_violations(page) == []
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert page.get_by_label("Search").evaluate("field => field.offsetWidth") > PHONE[0] / 2 or "kernel=" in query
    page.emulate_media(color_scheme="dark")
    assert axe_violations(page) == []
    for scrolled in ("html", "dialog[open]"):
        widths = page.locator(scrolled).evaluate_all("found => found.map(node => node.scrollWidth)")
        assert all(width <= PHONE[0] for width in widths)


def test_tabs_are_chosen_by_arrow_keys(open_page: PageOpener) -> None:
    page = open_page()
    expect(page.get_by_role("tab")).to_have_count(4)
    page.get_by_role("tab", name="Kernels").focus()
    for name in ("Scatter", "Model", "Compare", "Kernels"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_role("tabpanel")).to_have_count(1)
    assert page.locator("[role=tab][tabindex='0']").count() == 1


def test_one_layer_of_the_grid_is_in_the_tab_order_and_keys_move_between_them(open_page: PageOpener) -> None:
    page = open_page()
    pictures = page.locator(".card .picture")
    expect(page.locator(".card.drawn").first).to_be_visible()
    assert page.locator(".card .picture[tabindex='0']").count() == 1
    pictures.first.focus()
    page.keyboard.press("ArrowRight")
    expect(pictures.nth(1)).to_be_focused()
    page.keyboard.press("End")
    expect(pictures.last).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(pictures.last).to_be_focused()


def test_counts_and_what_was_found_are_announced(open_page: PageOpener) -> None:
    page = open_page("?view=scatter")
    expect(page.locator("#counts[role=status]")).to_contain_text("layers")
    expect(page.locator("#panel-scatter [role=status]")).to_contain_text("layers in the plot")
