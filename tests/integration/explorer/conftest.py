"""A small real dataset with analyses, its explorer, and pages of it in an installed browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl_analysis.explorer.explore import open_explorer
from filtercrawl_analysis.run.analyze import analyze
from support.explorer_page import PageOpener
from support.loading_dataset import loading_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def viewed_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = loading_dataset(tmp_path_factory.mktemp("explorer"))
    analyze(dataset, only=["degeneracy", "lineage", "drift"], by=["architecture"], resamples=50)
    write_eigenkernels(dataset)
    return dataset


def write_eigenkernels(dataset: Path) -> None:
    """Write the table of the analysis `eigenkernels` for 3x3 kernels without its figures, which take long."""
    kernels = pd.read_parquet(dataset / "data/samples/part.parquet").query("kernel == '3x3'")
    values = np.stack(kernels["values"].to_list()).astype(float)
    scaled = values / abs(values).max(axis=1, keepdims=True)
    components = np.linalg.svd(scaled - scaled.mean(0), full_matrices=False)[2]
    rows = [
        {"kernel": "3x3", "component": place, "vector": vector.tolist(), "mean": scaled.mean(0).tolist()}
        for place, vector in enumerate(components)
    ]
    pq.write_table(pa.Table.from_pylist(rows), dataset / "analysis/tables/eigenkernels.parquet", compression="zstd")


@pytest.fixture(scope="package")
def index(viewed_dataset: Path) -> pd.DataFrame:
    """The layers whose kernels are stored, in the order of the page."""
    rows = pd.read_parquet(viewed_dataset / "data/index/part.parquet")
    return rows[rows.row_group.notna()].reset_index(drop=True)


@pytest.fixture(scope="package")
def explorer_url(viewed_dataset: Path) -> Iterator[str]:
    with open_explorer(viewed_dataset) as server:
        yield server.url


@pytest.fixture
def open_page(browser: Browser, explorer_url: str) -> Iterator[PageOpener]:
    """Open views; at the end of the test, that nothing failed and nothing was asked of another origin."""
    opener = PageOpener(browser, explorer_url)
    yield opener
    opener.close()
    assert opener.problems == []
    assert opener.other_origins == []
