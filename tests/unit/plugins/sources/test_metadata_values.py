"""Cells of metadata files."""

from __future__ import annotations

import pytest

from filtercrawl_plugins.sources.local.metadata_values import convert


@pytest.mark.parametrize(
    ("text", "fault"),
    [("[" * 100_000, "nested too deeply"), ("[1]", "not a JSON object"), ('{"a": NaN}', "no number in JSON")],
)
def test_metrics_that_cannot_be_kept_are_wrong_values(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        convert("metrics", text)


def test_metrics_are_an_object_of_json() -> None:
    assert convert("metrics", '{"top1": 76.1}') == {"top1": 76.1}


@pytest.mark.parametrize("name", ["mine", "training_datasets", "task", "metrics"])
def test_a_value_that_is_nested_deeply_is_a_wrong_one(name: str) -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match=r"nested too deeply|not a JSON object"):
        convert(name, value)
