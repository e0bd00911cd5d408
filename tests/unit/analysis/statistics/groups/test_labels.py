"""Which group a layer belongs to, and what groups rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.numerics.moments import Moments
from filtercrawl_analysis.statistics.groups.labels import (
    group_labels,
    layer_groups,
    ordered_labels,
    resolve_column,
    sample_size,
)


def table(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_labels_are_text_the_last_of_a_list_and_none_where_unknown() -> None:
    index = table(
        task=["a", None, "b"],
        depth_decile=[0, 9, None],
        training_datasets=pa.array([["x", "y"], [], None], pa.list_(pa.string())),
        model_library=["timm", "timm", None],
        is_first=[True, False, None],
        is_last=[True, False, True],
    )
    assert group_labels(index, "task") == ["a", None, "b"]
    assert group_labels(index, "depth_decile") == ["0", "9", None]
    assert group_labels(index, "training_datasets") == ["y", None, None]
    assert group_labels(index, "library") == ["timm", "timm", None]
    assert group_labels(index, "position") == ["first", "between", None]
    assert group_labels(index, "nothing") == [None] * 3
    assert [resolve_column(index, name) for name in ("task", "library", "nothing")] == ["task", "model_library", None]


def test_groups_are_ordered_by_number_or_by_what_they_stand_for() -> None:
    assert ordered_labels(["10", "9", None, "0"], np.array([1, 5, 9, 2])) == ["0", "9", "10"]
    assert ordered_labels(["b", "a", "c", "a"], np.array([3, 2, 3, 2])) == ["a", "b", "c"]
    assert ordered_labels([None], np.array([1])) == []
    assert ordered_labels(["10", "-9", "0"], np.array([1, 5, 9])) == ["-9", "0", "10"]


@pytest.mark.parametrize("label", ["²", "--5", "-", "٣", "9" * 5000])
def test_text_that_only_looks_like_a_number_is_text(label: str) -> None:
    assert ordered_labels([label, "3"], np.array([1, 2])) == ["3", label]


def test_empty_text_is_no_group() -> None:
    assert group_labels(table(task=["", "a", None]), "task") == [None, "a", None]


@given(st.lists(st.tuples(st.sampled_from("mno"), st.sampled_from(["a", "b", None]), st.integers(1, 9)), min_size=1))
def test_units_part_layers_by_model_and_label_and_lose_none(layers: list[tuple[str, str | None, int]]) -> None:
    models, tasks, sizes = (list(column) for column in zip(*layers, strict=True))
    index = table(model_id=models, task=pa.array(tasks, pa.string()), n_kernels=sizes)
    found = layer_groups(index, ["task"])
    assert len(found) == len({(model, task) for model, task, _ in layers})
    for layer, unit in enumerate(found.unit_of_layer.tolist()):
        assert (found.labels["model_id"][unit], found.labels["task"][unit]) == layers[layer][:2]
    assert (found.kernels.sum(), found.layers.sum()) == (sum(sizes), len(layers))
    rests = sample_size(index)
    assert (rests.kernels, rests.layers, rests.models) == (sum(sizes), len(layers), len(set(models)))


@given(st.integers(0, 10**6), st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_merged_moments_are_those_of_the_kernels_together(seed: int, groups: list[int]) -> None:
    random = np.random.default_rng(seed)
    parts = [random.standard_normal((random.integers(1, 9), 4)) + 5 for _ in groups]

    def of(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return data.mean(0), (data - data.mean(0)).T @ (data - data.mean(0))

    found = Moments(
        n=np.array([len(part) for part in parts], np.float64),
        mean=np.array([of(part)[0] for part in parts]),
        scatter=np.array([of(part)[1] for part in parts]),
    )
    merged = found.merge(np.array(groups), 3)
    for group in range(3):
        members = [part for part, mine in zip(parts, groups, strict=True) if mine == group]
        assert merged.n[group] == sum(map(len, members))
        if members:
            mean, scatter = of(np.concatenate(members))
            assert np.allclose(merged.mean[group], mean)
            assert np.allclose(merged.scatter[group], scatter, atol=1e-9)
    whole = np.concatenate(parts)
    assert np.allclose(found.total().second_moment()[0], whole.T @ whole)
