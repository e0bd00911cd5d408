"""The digest that tells whether results are of the present state of a dataset."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from filtercrawl_analysis.data.dataset_state import dataset_state

INDEX = {
    "layer_id": ["a#1", "a#2", "b#1"],
    "model_id": ["a", "a", "b"],
    "sparsity": [0.1, None, 0.3],
    "file": ["f"] * 3,
}
MODELS = {"model_id": ["a", "b", "failed"], "task": ["x", "y", None], "url": ["u", "v", "w"], "attempts": [1, 1, 3]}


def state(index: dict[str, Any] | None = None, models: dict[str, Any] | None = None) -> str:
    return dataset_state(pa.table(INDEX | (index or {})), pa.table(MODELS | (models or {})))


def test_the_order_of_rows_and_columns_does_not_count() -> None:
    index, models = (pa.table(dict(reversed(table.items()))).take([2, 0, 1]) for table in (INDEX, MODELS))
    assert dataset_state(index, models) == state()


@pytest.mark.parametrize("models", [{"url": ["z"] * 3}, {"attempts": [9, 9, 9]}, {"task": ["x", "y", "of no layer"]}])
def test_where_and_how_a_checkpoint_was_found_does_not_count(models: dict[str, Any]) -> None:
    assert state(models=models) == state()


@pytest.mark.parametrize(
    ("index", "models"),
    [({"sparsity": [0.1, 0.2, 0.3]}, {}), ({"layer_id": ["a#1", "a#3", "b#1"]}, {}), ({}, {"task": ["x", "z", None]})],
)
def test_layers_and_what_is_known_of_their_models_count(index: dict[str, Any], models: dict[str, Any]) -> None:
    assert state(index, models) != state()


def test_where_a_weight_lies_does_not_count() -> None:
    assert state({"file": ["g"] * 3}) == state()
