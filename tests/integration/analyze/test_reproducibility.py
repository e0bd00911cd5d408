"""Results of `analyze` do not depend on the order of rows, nor on the number of workers that made the dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from filtercrawl.dataset.files.atomic import atomic_write
from filtercrawl_analysis import analyze
from support.synthetic_datasets import EDGES, SMOOTH, Net, net, plant
from support.zoo_files import published


def nets() -> list[Net]:
    planted = [
        net(f"{task}{i}", SMOOTH if i % 2 else EDGES, 10 * t + i, task=task, family="fx" if i % 2 else "fy")
        for t, task in enumerate(("a", "b"))
        for i in range(4)
    ]
    # A network whose first layer another one has as well: which of the two counts must not depend on the order.
    planted[5].state["conv0.weight"] = planted[2].state["conv0.weight"].clone()
    return planted


def results(dataset: Path) -> dict[str, str]:
    """Return the digests of all tables and figures, and the content of results.json but for the id of the dataset."""
    analyze(dataset, by=["task", "family"], resamples=20, also=["filters", "spectra"], progress=False)
    content = json.loads((dataset / "analysis/results.json").read_text())
    del content["dataset_id"], content["made"]
    for analysis in content["analyses"]:
        del analysis["made"]
    files = {
        path: digest
        for path, digest in published(dataset).items()
        if path.startswith(("analysis/tables", "analysis/fig"))
    }
    return {**files, "results": json.dumps(content)}


def test_neither_the_order_of_rows_nor_workers_nor_the_order_of_the_listing_change_anything(tmp_path: Path) -> None:
    expected = results(plant(tmp_path / "one", nets()))
    other = plant(tmp_path / "other", reversed(nets()), jobs=2)
    path = other / "data/index/part.parquet"
    index = pq.read_table(path)
    with atomic_write(path, other) as scratch:
        pq.write_table(index.take(np.random.default_rng(1).permutation(len(index))), scratch)
    assert results(other) == expected
