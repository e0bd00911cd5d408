"""The page of a dataset that changes while it is open, and of one that lacks weights or a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from filtercrawl_analysis.explorer.explore import open_explorer
from support.explorer_page import PageOpener, counted

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def dataset(viewed_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(viewed_dataset, tmp_path / "dataset"))


def rewrite(path: Path, compression: str | None) -> None:
    """Write a table anew, in as many bytes as the compression gives."""
    before = path.stat().st_size
    pq.write_table(pq.read_table(path), path, compression=compression)
    assert path.stat().st_size != before


@pytest.mark.parametrize("compression", [None, "brotli"])
def test_a_dataset_that_has_changed_is_told_and_loaded_again(
    browser: Browser, dataset: Path, compression: str | None
) -> None:
    """Of `index` and `models` more or fewer bytes come than the page was told of."""
    with open_explorer(dataset) as server:
        opener = PageOpener(browser, server.url)
        page = opener()
        page.locator(".card.drawn").first.wait_for()
        layers = counted(page)[0]
        for name in ("index", "models"):
            rewrite(dataset / f"data/{name}/part.parquet", compression)
        page.locator(".card.drawn .picture").first.click(position={"x": 12, "y": 12})
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The dataset has changed")
        if compression is None:  # the page reads no brotli
            alert.get_by_role("button", name="Reload").click()
            page.get_by_role("dialog").wait_for()
            assert counted(page)[0] == layers
            expect(alert).to_be_hidden()
        opener.close()


def test_what_cannot_be_read_is_told_in_the_open_dialog(browser: Browser, dataset: Path) -> None:
    with open_explorer(dataset) as server:
        opener = PageOpener(browser, server.url)
        page = opener("?kernel=timm/nothing%23weight:0:0")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("No such kernel")
        rewrite(dataset / "data/models/part.parquet", None)
        page.evaluate("history.pushState(null, '', '?kernel=timm/resnet18.a1_in1k%231.weight:5:7')")
        page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
        expect(dialog).to_contain_text("The dataset has changed")
        opener.close()


def test_a_dataset_without_samples_is_told_once(browser: Browser, dataset: Path) -> None:
    for path in dataset.glob("data/samples/*.parquet"):
        path.unlink()
    with open_explorer(dataset) as server:
        opener = PageOpener(browser, server.url)
        page = opener()
        expect(page.get_by_role("alert")).to_have_text("data/samples is missing; `filtercrawl sync` writes it.")
        expect(page.locator(".card.failed").first).not_to_contain_text("undefined")
        opener.close()
        assert opener.problems == []


def test_a_layer_without_stored_weights_opens_its_facts(browser: Browser, dataset: Path) -> None:
    path = dataset / "data/index/part.parquet"
    index = pq.read_table(path)
    layer = index.slice(len(index) - 1).to_pylist()[0]
    for name in ("row_group", "file"):
        column = pa.array([*index[name].to_pylist()[:-1], None], index.schema.field(name).type)
        index = index.set_column(index.schema.get_field_index(name), name, column)
    pq.write_table(index, path, compression="zstd")
    samples = pq.read_table(dataset / "data/samples/part.parquet")
    kept = samples.filter(pc.field("layer_id") != layer["layer_id"])
    assert len(kept) < len(samples)
    pq.write_table(kept, dataset / "data/samples/part.parquet", compression="zstd")
    with open_explorer(dataset) as server:
        opener = PageOpener(browser, server.url)
        page = opener("?all=1")
        card = page.locator(".card").last
        expect(card).to_contain_text("weights not stored")
        card.locator(".picture").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"Layer {layer['layer']}")
        expect(dialog).to_contain_text(layer["tensor"])
        expect(dialog).to_contain_text("does not store its weights")
        opener.close()
        assert opener.problems == []
