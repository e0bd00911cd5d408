"""Attributes of kernels in a benchmark set, and the filters over them."""

from __future__ import annotations

from decimal import Context, Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filtercrawl_publish.export.fanns.attributes import COLUMNS, attributes, log_norms
from filtercrawl_publish.export.fanns.filters import TAGS, FilterPool, condition

PRECISE = Context(prec=60)


@given(st.floats(1e-40, 1e40))
@example(1.0)
@example(2.0**-17)
@example(float(np.nextafter(2.0, 1.0)))
def test_log_norms_are_rounded_as_exact_logarithms_are(norm: float) -> None:
    exact = PRECISE.multiply(PRECISE.divide(PRECISE.ln(Decimal(norm)), PRECISE.ln(Decimal(2))), Decimal(1000))
    (found,) = log_norms(np.array([norm])).tolist()
    assert abs(Decimal(found) - exact) <= Decimal("0.5000000001")


def layers(datasets: list[list[str] | None]) -> pa.Table:
    """One layer of 20 kernels for each list of training data; all else is unknown."""
    n = len(datasets)
    columns = {name: pa.nulls(n, pa.string()) for name in COLUMNS} | {
        "layer_id": pa.array([f"local/net#{i}" for i in range(n)]),
        "training_datasets": pa.array(datasets, pa.list_(pa.string())),
        "groups": pa.nulls(n, pa.int64()),
        "shape": pa.array([[4, 5, 1, 3]] * n),
    }
    return pa.table(columns)


def test_training_data_that_were_used_twice_count_once() -> None:
    """A vector must not match a tag twice: fewer vectors than counted would meet the filter."""
    kernels = np.random.default_rng(0).standard_normal((60, 3)).astype("f4")
    table = attributes(layers([["a", "b", "a"], ["a"], None]), np.arange(60), kernels)
    assert table["training_datasets"].to_pylist()[::20] == [["a", "b"], ["a"], None]
    with FilterPool(table=table, least=20, seed=0) as pool:
        kinds = pool.kinds()
    for filters in kinds.values():
        matches = [len(chosen.rows) for chosen in filters]
        assert min(matches) >= 20
        assert matches == sorted(matches)
    assert {chosen.tags for chosen in kinds["tags"]} >= {(("training_datasets", "a"),), (("training_datasets", "b"),)}


@pytest.mark.parametrize("name", ["path", "model"])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@example(text="a'b\nc\u2028\x85'")
def test_a_condition_is_one_line_of_sql_for_its_value(name: str, text: str) -> None:
    assert name in TAGS
    sql = condition((name, text))
    assert len(sql.splitlines()) == 1
    value = [text] if name == "path" else text
    with duckdb.connect() as database:
        found = database.execute(
            f"SELECT {sql} AND NOT {condition((name, text + 'x'))} FROM (SELECT $1 AS {name})", [value]
        )
        assert found.fetchone() == (True,)
