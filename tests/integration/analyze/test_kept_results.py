"""Analyses of a dataset that was analyzed before compute only what is new, and find the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.statistics.initialization.layers import layer_initialization
from filtercrawl_analysis.statistics.quality.layer_verdicts import layer_verdicts
from support.synthetic_datasets import EDGES, SMOOTH, net, plant


class CountingView(FolderDatasetView):
    """Counts the layers of which results are computed, by method."""

    computed: dict[str, int]

    def layer_results(self, method: str, keys: Sequence[str], compute: Callable[[Sequence[int]], pa.Table]) -> pa.Table:
        def counted(positions: Sequence[int]) -> pa.Table:
            self.computed[method] = self.computed.get(method, 0) + len(positions)
            return compute(positions)

        return super().layer_results(method, keys, counted)


def tables(dataset: Path) -> tuple[list[pa.Table], dict[str, int]]:
    view = CountingView(dataset)
    view.computed = {}
    return [layer_verdicts(view), layer_initialization(view)], view.computed


def test_a_second_analysis_computes_only_new_layers_and_finds_the_same(tmp_path: Path) -> None:
    nets = [net(f"n{seed}", SMOOTH if seed % 2 else EDGES, seed) for seed in range(5)]
    dataset = plant(tmp_path / "one", nets[:4])
    first, computed = tables(dataset)
    assert computed == {"layer_tests": 8, "layer_initialization": 8}
    again, computed = tables(dataset)
    assert computed == {"layer_tests": 0, "layer_initialization": 0}
    assert again == first
    larger = plant(tmp_path / "two", nets)
    fresh, _ = tables(larger)
    shutil.rmtree(larger / HIDDEN / "results")
    shutil.copytree(dataset / HIDDEN / "results", larger / HIDDEN / "results")
    with_kept, computed = tables(larger)
    assert computed == {"layer_tests": 2, "layer_initialization": 2}
    assert with_kept == fresh
