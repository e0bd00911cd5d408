"""Views of `load_layers`: conditions that are combined, transforms that run in order, and names that mean nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.plugin_modules import installed_entry_points
from filtercrawl.api.view import View
from filtercrawl.dataset.tables.export import export
from filtercrawl.load import load_layers, open_dataset
from filtercrawl.load.views import BUNDLED_VIEWS
from support.dataset_rows import example
from support.plugins import entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export(tmp_path, example(tmp_path))
    return tmp_path


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> object:
    """Installs a plugin with these views."""

    def install(*views: View) -> None:
        found = (*installed_entry_points(), entry(monkeypatch, "views", filtercrawl_views=lambda: iter(views)))
        monkeypatch.setattr("filtercrawl.api.plugin_manager.installed_entry_points", lambda: found)

    return install


def doubled(table: pa.Table) -> pa.Table:
    weights = table["weight"].combine_chunks()
    lists = pa.LargeListArray.from_arrays(weights.offsets, pc.multiply(weights.values, pa.scalar(2.0, pa.float32())))
    return table.set_column(table.column_names.index("weight"), table.schema.field("weight"), lists)


def named(table: pa.Table) -> pa.Table:
    return table.append_column("of", pc.binary_join_element_wise(table["source"], table["kernel"], " "))


def test_raw_is_the_default(folder: Path) -> None:
    assert load_layers(folder, view="raw").equals(load_layers(folder))
    assert load_layers(folder, view=[]).equals(load_layers(folder))


@pytest.mark.parametrize(
    ("view", "where"),
    [
        ("first", "is_first"),
        ("patchify", "is_patchify"),
        ("stem", "is_stem"),
        ("last-spatial", "is_last_spatial"),
        ("downsampling", "is_downsampling"),
        ("depthwise", "depthwise"),
        ("separable", "pointwise_follower is not null"),
    ],
)
def test_views_by_place_hold_the_layers_that_the_index_says(tmp_path: Path, view: str, where: str) -> None:
    content = example(tmp_path)
    for number, row in enumerate(content.index_rows):
        flags = ("is_first", "is_patchify", "is_stem", "is_last_spatial", "is_downsampling", "depthwise")
        row.update({name: (None, True, False)[(number + place) % 3] for place, name in enumerate(flags)})
        row["pointwise_follower"] = row["layer_id"] if number % 2 else None
    export(tmp_path, content)
    found = load_layers(tmp_path, None, ["layer_id"], view=view)["layer_id"].to_pylist()
    assert found == load_layers(tmp_path, where, ["layer_id"])["layer_id"].to_pylist()
    assert 0 < len(found) < load_layers(tmp_path).num_rows


def test_an_index_of_an_older_version_has_no_layers_in_views_that_it_does_not_know(folder: Path) -> None:
    path, newer = folder / "data/index/part.parquet", ["is_stem", "is_last_spatial", "pointwise_follower"]
    pq.write_table(pq.read_table(path).drop_columns(newer), path)
    every = load_layers(folder, None, ["layer_id", *newer])
    assert every.num_rows == load_layers(folder).num_rows > 0
    assert all(every[name].null_count == every.num_rows for name in newer)
    assert every.schema.field("is_stem").type == pa.bool_()
    assert load_layers(folder, view="stem").num_rows == load_layers(folder, view="separable").num_rows == 0


def test_the_conditions_of_several_views_and_of_the_caller_hold_together(folder: Path, offer) -> None:
    offer(
        View(name="threes", about="Kernels of 3x3.", where="kernel = '3x3'"),
        View(name="local", about="Of the source local.", where="source = 'local' or false"),
    )
    expected = load_layers(folder, "kernel = '3x3' and source = 'local' and n_kernels > 4", ["layer_id"])
    assert 0 < expected.num_rows < load_layers(folder).num_rows
    for names in (["threes", "local"], ["local", "threes"]):
        assert load_layers(folder, "n_kernels > 4", ["layer_id"], view=names).equals(expected)
    assert open_dataset(folder).layers("n_kernels > 4", ["layer_id"], view=names).equals(expected)


def test_transforms_run_in_order_and_get_the_columns_they_need(folder: Path, offer) -> None:
    offer(
        View(name="doubled", about="Twice the weights.", transform=doubled),
        View(name="named", about="With a column.", columns=("source", "kernel"), transform=named),
    )
    raw = load_layers(folder, columns=["source", "kernel", "layer_id"])
    found = load_layers(folder, columns=["layer_id", "kernel"], view=["doubled", "doubled", "named"])
    assert found.column_names == ["layer_id", "kernel", "shape", "weight", "of"]
    four = pc.multiply(raw["weight"].combine_chunks().values, pa.scalar(4.0, pa.float32()))
    assert found["weight"].combine_chunks().values.equals(four)
    assert found["of"].to_pylist() == [f"{row['source']} {row['kernel']}" for row in raw.to_pylist()]


def test_an_unknown_view_is_named_with_those_there_are(folder: Path, offer) -> None:
    offer(View(name="threes", about="Kernels of 3x3.", where="kernel = '3x3'"))
    with pytest.raises(UsageError, match=r"no view is named 'third'; there are .*threes.*raw"):
        load_layers(folder, view=["raw", "third"])


@pytest.mark.parametrize("view", [None, 3, [None]])
def test_what_is_no_name_of_a_view_is_told(folder: Path, view: Any) -> None:
    with pytest.raises(
        UsageError, match=r"(view: (None|3) is neither a name nor a list of names|named None; there are raw)"
    ):
        load_layers(folder, view=view)


def test_a_transform_that_returns_no_weights_is_refused(folder: Path, offer) -> None:
    offer(View(name="bare", about="Without weights.", transform=lambda table: table.drop_columns(["weight"])))
    with pytest.raises(UsageError, match="the view 'bare' does not return the column weight as large_list<"):
        load_layers(folder, view="bare")


def test_bundled_views_are_named_as_those_of_plugins_must_be(offer: Any) -> None:
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in BUNDLED_VIEWS)
    offer(View(name="un_hyphenated", about="Has a name that no plugin may use."))
    assert "un_hyphenated" not in load_plugins(on_error=lambda _: None).views
