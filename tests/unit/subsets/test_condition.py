"""Conditions say the same of a layer everywhere and at any time, and read nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.subsets.condition import Condition

INDEX = pa.table(
    {
        "model_id": ["a", "b", "c"],
        "kernel": ["3x3", "5x5", None],
        "training_datasets": [["imagenet-1k"], ["imagenet-1k", "laion"], None],
    }
)
MODELS = pa.table({"model_id": ["b", "a"], "num_params": [7, 3]})


@pytest.mark.parametrize(
    ("sql", "holds"),
    [
        ("kernel = '3x3'", [True, False, False]),
        ("models.num_params > 5", [False, True, False]),
        ("MODELS.NUM_PARAMS < 5 or Kernel = '5x5' -- remark", [True, True, False]),
        ("not list_contains(training_datasets, 'laion')", [True, False, False]),
        ("len(list_filter(training_datasets, lambda x: starts_with(x, 'imagenet'))) = 1", [True, True, False]),
        ("models.num_params is null", [False, False, True]),
        ("len([name for name in training_datasets if name <> 'laion']) = len(training_datasets)", [True, False, False]),
        ("models.model_id = model_id", [True, True, False]),
    ],
)
def test_a_condition_is_about_a_layer_and_its_model(sql: str, holds: list[bool]) -> None:
    assert Condition.parse(sql).evaluate(INDEX, MODELS) == holds


@pytest.fixture
def restored_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_times_are_those_of_utc_wherever_the_machine_is(restored_zone: pytest.MonkeyPatch) -> None:
    written = datetime(2026, 1, 1, 2, tzinfo=UTC)
    models = pa.table({"model_id": ["a"], "last_modified": pa.array([written], pa.timestamp("us", "UTC"))})
    condition = Condition.parse("models.last_modified::date = date '2026-01-01' and hour(models.last_modified) = 2")
    for zone in ("America/Los_Angeles", "Asia/Tokyo"):
        restored_zone.setenv("TZ", zone)
        time.tzset()
        assert condition.evaluate(INDEX, models) == [True, False, False]


def test_a_key_of_a_json_document_is_of_a_column() -> None:
    assert Condition.parse("(models.extra -> 'key') is not null").model_columns == ("extra",)
    assert Condition.parse("(license -> 'key') is not null").index_columns == ("license",)


def test_only_columns_that_are_named_are_read() -> None:
    condition = Condition.parse("Kernel = '3x3' and models.num_params > 5 and models.license = license")
    assert condition.index_columns == ("kernel", "license")
    assert condition.model_columns == ("license", "num_params")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("random() < 0.5", "random() does not always return the same"),
        ("now() > timestamp '2026-01-01'", "now() does not always return the same"),
        ("age(timestamp '2026-01-01') > interval 1 day", "age() does not always return the same"),
        ("version() = 'v2.0.1'", "version() does not always return the same"),
        ("hash(layer) < 5", "hash() does not always return the same"),
        (
            "len(list_filter([1], lambda current_date: true)) = 1 and current_date > date '2026-01-01'",
            "index has no column 'current_date'",
        ),
        ("taps > 1" + " + 1" * 600, "it is nested too deeply"),
        ("taps > 1 and current_date > date '2026-01-01'", "index has no column 'current_date'"),
        ("layer in (select 'x')", "a subquery has no place in it"),
        ("exists (from read_csv('/etc/passwd'))", "a subquery has no place in it"),
        ("row_number() over () < 3", "a window function has no place in it"),
        ("taps > 1), (true", "it is not one expression"),
        ("true) union select (false", "it is not one expression"),
        ("true) where (random() < 0.5", "it is not one expression"),
        ("true) from (values (1)", "it is not one expression"),
        ("taps > 1; drop table layer", "syntax error"),
        ("kernel = '3x3') or (true", "syntax error"),
        ("count(*) > 1", "count() looks at many rows, and a condition looks at one layer"),
        ("max(taps) > 1", "max() looks at many rows"),
        ("taps > $1", "a parameter has no place in it"),
        ("kernl = '3x3'", "index has no column 'kernl'; the nearest are kernel"),
        ("index.kernel = '3x3'", "columns of index are named alone: kernel"),
        ("models.num_param > 3", "models has no column 'num_param'; the nearest is num_params"),
    ],
)
def test_what_depends_on_anything_else_is_refused(sql: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        Condition.parse(sql)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "sql",
    [
        "sum(length(kernel)) > 1",
        "kernel = '3x3', true",
        "kernel",
        "length(kernel)",
        "kernel > 3 + [1]",
        "no_function(kernel)",
    ],
)
def test_what_the_database_does_not_understand_is_a_usage_error(sql: str) -> None:
    with pytest.raises(UsageError, match="where: "):
        Condition.parse(sql).evaluate(INDEX, MODELS)
