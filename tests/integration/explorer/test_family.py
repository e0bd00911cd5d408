"""The distance of a model from its family on its page: number, rank, verdict, plots, list and links."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from playwright.sync_api import expect

from filtercrawl.api import CheckpointMetadata
from filtercrawl_analysis.explorer.explore import open_explorer
from filtercrawl_analysis.run.analyze import analyze
from filtercrawl_analysis.statistics.family.family_rows import DEPTH
from support.explorer_page import PHONE, PageOpener, axe_violations
from support.synthetic_datasets import EDGES, SMOOTH, Net, net, plant

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ODD, SMALL = "acme/odd", "acme/small"


@pytest.fixture(scope="module")
def bare_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family of 20 networks, one unlike them, and one of few kernels."""
    nets = [net(f"n{i:02}", SMOOTH, i, layers=1, family="smooth") for i in range(20)]
    nets.append(net("odd", EDGES, 90, layers=1, family="smooth"))
    tiny = {"conv.weight": torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0))}
    nets.append(Net(name="small", state=tiny, meta=CheckpointMetadata(family="smooth")))
    return plant(tmp_path_factory.mktemp("families"), nets)


@pytest.fixture(scope="module")
def family_dataset(bare_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the analysis; of depths, which these networks do not tell, a table of three tenths."""
    dataset = tmp_path_factory.mktemp("analyzed") / "dataset"
    shutil.copytree(bare_dataset, dataset)
    analyze(dataset, only=["family"])
    rows = [
        {"model_id": ODD, "family": "smooth", "kernel": "3x3", "depth_decile": decile, "distance": 0.5 + decile / 10}
        | {"rank": 1, "models": 5, "others_median": 0.2, "others_low": 0.1, "others_high": 0.3}
        | {"kernels": 200, "tested_kernels": 200}
        for decile in (0, 4, 9)
    ]
    table = pa.Table.from_pylist(rows, schema=DEPTH)
    pq.write_table(table, dataset / "analysis/tables/family_distance_depth.parquet", compression="zstd")
    return dataset


@pytest.fixture(scope="module")
def family_url(family_dataset: Path) -> Iterator[str]:
    with open_explorer(family_dataset) as server:
        yield server.url


@pytest.fixture
def open_page(browser: Browser, family_url: str) -> Iterator[PageOpener]:
    opener = PageOpener(browser, family_url)
    yield opener
    opener.close()
    assert opener.problems == []


def model(name: str) -> str:
    return "?" + urlencode({"view": "model", "model": name})


def test_a_model_that_differs_is_shown_among_its_family(open_page: PageOpener, family_dataset: Path) -> None:
    rows = pd.read_parquet(family_dataset / "analysis/tables/family_distance.parquet").set_index("model_id")
    page = open_page(model(ODD))
    section = page.locator(".family-distance")
    distance = float(f"{rows.distance[ODD]:.2g}")
    expect(section.locator("figcaption")).to_have_text(f"3x3 kernels: {distance:g}, the farthest of 21 models")
    expect(section.locator(".verdict")).to_contain_text("It differs from its family")
    strip = section.get_by_role("img", name="Distances of 21 models of smooth")
    expect(strip.locator("circle")).to_have_count(20)
    expect(strip.locator(".mark")).to_have_count(1)
    right = max(strip.locator("circle").evaluate_all("all => all.map(one => one.getBoundingClientRect().right)"))
    mark = strip.locator(".mark").bounding_box()
    assert mark is not None
    assert mark["x"] > right, "the farthest is on the right of all others"
    depth = section.get_by_role("img", name="Distance by tenth of the depth. 0: 0.5, others' median 0.2; 4: 0.9")
    expect(depth.locator(".mark")).to_have_count(3)


def test_the_models_of_the_family_are_listed_and_lead_to_their_pages(
    open_page: PageOpener, family_dataset: Path
) -> None:
    page = open_page(model(ODD))
    section = page.locator(".family-distance")
    section.get_by_text("All 21 models").click()
    listed = section.get_by_role("row").get_by_role("rowheader").all_inner_texts()
    rows = pd.read_parquet(family_dataset / "analysis/tables/family_distance.parquet").dropna(subset="rank")
    assert listed == [f"{ODD} (this one)", *rows.sort_values("rank").model_id[1:]]
    section.get_by_role("link", name=listed[3], exact=True).click()
    expect(section.locator("figcaption")).to_contain_text("4th farthest of 21 models")
    expect(section.locator(".verdict")).to_contain_text("No difference from its family was found")


def test_a_link_compares_the_model_with_its_family(open_page: PageOpener) -> None:
    page = open_page(model(ODD))
    page.get_by_role("link", name="Compare its kernels with those of the others of smooth").click()
    expect(page.locator("#panel-compare").get_by_role("status")).to_have_text("1 layer against 21 layers")
    asked = parse_qs(urlsplit(page.url).query)
    others = {"family": "smooth", "model_id!": ODD}
    assert (asked["a"], asked["b"]) == ([urlencode({"model_id": ODD})], [urlencode(others)])


def test_why_a_model_has_no_distance_is_said(open_page: PageOpener) -> None:
    page = open_page(model(SMALL))
    section = page.locator(".family-distance")
    expect(section).to_contain_text("Without a distance: 3x3 kernels: fewer than 100 kernels.")
    expect(section.locator("svg")).to_have_count(0)


def test_what_to_run_is_said_where_the_analysis_was_not_run(browser: Browser, bare_dataset: Path) -> None:
    with open_explorer(bare_dataset) as server:
        opener = PageOpener(browser, server.url)
        expect(opener(model(ODD)).locator(".family-distance code")).to_have_text("filtercrawl analyze --only family")
        opener.close()
    assert opener.problems == []


def test_everybody_can_use_it(open_page: PageOpener) -> None:
    page = open_page(model(ODD))
    expect(page.locator(".family-distance .mark").first).to_be_visible()
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert axe_violations(page) == []
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.emulate_media(color_scheme="dark")
    assert axe_violations(page) == []
    assert page.locator("html").evaluate("page => page.scrollWidth") <= PHONE[0]
