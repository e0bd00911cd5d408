"""The page of a dataset that changes while it is open, and of one that lacks a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

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
            rewrite(dataset / f"data/{name}.parquet", compression)
        page.locator(".card.drawn .picture").first.click(position={"x": 12, "y": 12})
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The dataset has changed")
        if compression is None:  # the page reads no brotli
            alert.get_by_role("button", name="Reload").click()
            page.get_by_role("dialog").wait_for()
            assert counted(page)[0] == layers
            expect(alert).to_be_hidden()
        opener.close()


def test_a_dataset_without_samples_is_told_once(browser: Browser, dataset: Path) -> None:
    for path in dataset.glob("data/samples*.parquet"):
        path.unlink()
    with open_explorer(dataset) as server:
        opener = PageOpener(browser, server.url)
        page = opener()
        expect(page.get_by_role("alert")).to_have_text("data/samples.parquet is missing; `filtercrawl sync` writes it.")
        expect(page.locator(".card.failed").first).not_to_contain_text("undefined")
        opener.close()
        assert opener.problems == []
