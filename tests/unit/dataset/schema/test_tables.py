"""The schemas that are derived from the rows: pinned, for published datasets have them."""

from __future__ import annotations

import hashlib
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.dataset.catalog.encoding import decode_layer, encode_layer
from filtercrawl.dataset.schema.arrow import INDEX, LAYERS, LEDGER, ROWS, TABLES
from filtercrawl.dataset.schema.column import TableRow, column, column_like, table_row
from filtercrawl.dataset.schema.layer_row import IndexRow, LayerRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow

# Columns are only ever added, nullable, at the end: then put the new digest here. That of `layers` never changes.
DIGESTS = {
    "layers": "cc8a7691caacd09b",
    "index": "bc9fd229029dd114",
    "models": "c1b9552fc2efadda",
    "ledger": "6de9a36cce675fbb",
    "samples": "7deae6687b3118c7",
    "sketches": "de3d4be4972e1c17",
    "effective": "b1c16a94d8343d04",
    "preview": "e7cf420ee912d812",
    "renames": "ee29182fc08e2302",
    "withdrawn": "466b41571af273e1",
    "sources": "127d4834f2820d83",
    "runs": "e23ba8825ee89ed7",
    "files": "ae87b8ad11a33243",
}


def digest(schema: pa.Schema) -> str:
    lines = [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in schema]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_the_schemas_are_as_they_were_published() -> None:
    assert {name: digest(schema) for name, schema in {"layers": LAYERS, **TABLES}.items()} == DIGESTS


@pytest.mark.parametrize("name", ["layers", *ROWS])
def test_no_schema_has_metadata(name: str) -> None:
    """It would be written into every file, and change its bytes."""
    schema = {"layers": LAYERS, **TABLES}[name]
    assert schema.metadata is None
    assert all(field.metadata is None for field in schema)


@pytest.mark.parametrize("row", [LayerRow, *ROWS.values()])
def test_every_column_is_described_in_one_line(row: type[TableRow]) -> None:
    assert list(row.DESCRIPTIONS) == row.SCHEMA.names
    assert all(text and text.isprintable() and not text.endswith(".") for text in row.DESCRIPTIONS.values())


def test_index_has_all_of_layers_but_the_weight() -> None:
    assert INDEX.names[: len(LAYERS) - 1] == [name for name in LAYERS.names if name != "weight"]
    for name in LAYERS.names[:-1]:
        assert INDEX.field(name).type == LAYERS.field(name).type, name


@table_row
class Example(TableRow):
    name: str = column(pa.string(), "a name")
    sizes: tuple[int, ...] | None = column(pa.list_(pa.int32()), "sizes", default=None)
    count: int = column(pa.int64(), "a count", default=0, nullable=False)


@table_row
class Narrower(TableRow):
    name: str = column_like(Example, "name")


def test_a_row_gives_its_schema() -> None:
    assert Example.SCHEMA.equals(
        pa.schema(
            [
                pa.field("name", pa.string(), nullable=False),
                pa.field("sizes", pa.list_(pa.int32())),
                pa.field("count", pa.int64(), nullable=False),
            ]
        )
    )
    assert Example.DESCRIPTIONS == {"name": "a name", "sizes": "sizes", "count": "a count"}
    assert (Narrower.SCHEMA.field("name"), Narrower.DESCRIPTIONS["name"]) == (Example.SCHEMA.field("name"), "a name")


def test_a_row_comes_back_from_arrow() -> None:
    rows = [Example(name="a", sizes=(1, 2)), Example(name="b", count=3)]
    batch = pa.RecordBatch.from_pylist([row.to_arrow() for row in rows], schema=Example.SCHEMA)
    assert [Example.from_arrow(values) for values in batch.to_pylist()] == rows
    assert Example.from_arrow({"name": "a", "no_such_column": 1}) == Example(name="a")
    with pytest.raises(TypeError, match="name"):
        Example.from_arrow({"count": 1})


def _columns(row: type[TableRow]) -> st.SearchStrategy[TableRow]:
    """Rows of any values that their columns hold."""

    def values(field: pa.Field) -> st.SearchStrategy[object]:
        made = _of_type(field.type)
        return st.none() | made if field.nullable else made

    return st.fixed_dictionaries({field.name: values(field) for field in row.SCHEMA}).map(row.from_arrow)


def _of_type(kind: pa.DataType) -> st.SearchStrategy[object]:
    if pa.types.is_list(kind):
        return st.lists(_of_type(kind.value_type), max_size=3).map(tuple)
    if pa.types.is_string(kind):
        return st.text(max_size=5)
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        return st.integers(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
    return st.floats(allow_nan=False)


@given(_columns(IndexRow))
def test_the_catalog_gives_back_the_layer_that_it_was_given(row: IndexRow) -> None:
    assert decode_layer(encode_layer(row)) == row


@given(_columns(LedgerRow))
def test_arrow_takes_any_row_of_the_ledger(row: LedgerRow) -> None:
    batch = pa.RecordBatch.from_pylist([row.to_arrow()], schema=LEDGER)
    assert LedgerRow.from_arrow(batch.to_pylist()[0]) == row


def test_what_a_measure_says_goes_into_its_columns() -> None:
    row = IndexRow.from_arrow(
        {field.name: _example(field.type) for field in INDEX if not field.nullable} | {"sparsity": 0.5}
    )
    measured = row.with_measures({"sparsity": 0.25, "norm_l1": math.inf, "no_such_column": 1})
    assert (measured.sparsity, measured.norm_l1, measured.norm_l2) == (0.25, math.inf, None)


def _example(kind: pa.DataType) -> object:
    if pa.types.is_list(kind):
        return [1]
    return "x" if pa.types.is_string(kind) else True if pa.types.is_boolean(kind) else 1
