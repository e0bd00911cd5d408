"""Rows of `effective`: what a recipe says survives the table, the catalog and the digest."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.dataset.tables import effective
from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.extraction.effective import LayerKey, Norm, Recipe, Term, effective_bias, effective_weight
from support.effective_recipes import index_row, numbers, recipes


@settings(max_examples=60, deadline=None)
@given(recipe=recipes())
def test_a_recipe_is_the_same_after_the_table(recipe: Recipe) -> None:
    rows = {term.layer: index_row(term.layer.tensor, recipe) for term in recipe.terms}
    row = effective.effective_row(recipe, [rows[term.layer] for term in recipe.terms])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row], schema=EFFECTIVE), file)
    (read,) = pq.read_table(file).to_pylist()
    assert effective.digest_of(read) == row["effective_sha256"]
    back = effective.recipe_of(read)
    raw = {layer: numbers(layer.tensor, recipe) for layer in rows}
    by_digest = {LayerKey(rows[layer].layer_sha256 or ""): weight for layer, weight in raw.items()}
    for fold in (True, False):
        np.testing.assert_array_equal(
            effective_weight(back, by_digest, fold_norm=fold), effective_weight(recipe, raw, fold_norm=fold)
        )
        one, two = effective_bias(back, fold_norm=fold), effective_bias(recipe, fold_norm=fold)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one, two)
    assert (back.steps, back.shape, back.eps_assumed) == (recipe.steps, recipe.shape, recipe.eps_assumed)


SIMPLE = Recipe(
    layer=LayerKey("conv.weight"),
    steps=("batch_norm",),
    shape=(4, 2, 3, 3),
    groups=1,
    terms=(Term(layer=LayerKey("conv.weight")),),
    norm=Norm(
        path="bn",
        evidence="names",
        eps=1e-3,
        scale=np.full(4, 2, np.float32),
        offset=None,
        mean=np.zeros(4, np.float32),
        variance=np.arange(4, dtype=np.float32),
    ),
)


def staged(*tensors: str, model_id: str = "local/a.pt") -> StagedLayers:
    return StagedLayers.without_file([index_row(tensor, SIMPLE, model_id) for tensor in tensors])


def row_of(recipe: Recipe) -> dict[str, Any]:
    return effective.effective_row(recipe, [index_row(term.layer.tensor, recipe) for term in recipe.terms])


def test_the_digest_is_of_the_weight_alone() -> None:
    assert SIMPLE.norm is not None
    same = replace(SIMPLE, bias=np.ones(4), norm=replace(SIMPLE.norm, path="other", mean=np.ones(4, np.float32)))
    assert row_of(same)["effective_sha256"] == row_of(SIMPLE)["effective_sha256"]
    assumed, stated = (replace(SIMPLE, norm=replace(SIMPLE.norm, eps=eps)) for eps in (None, 1e-5))
    assert row_of(assumed)["effective_sha256"] == row_of(stated)["effective_sha256"]
    others = [
        replace(SIMPLE, norm=None),
        replace(SIMPLE, norm=replace(SIMPLE.norm, eps=None)),
        replace(SIMPLE, norm=replace(SIMPLE.norm, scale=None)),
        replace(SIMPLE, terms=(replace(SIMPLE.terms[0], scale=np.full((4, 1, 1, 1), 2.0)),)),
        replace(SIMPLE, terms=(replace(SIMPLE.terms[0], shift=np.full((4, 1, 1, 1), 2.0)),)),
        replace(SIMPLE, terms=(*SIMPLE.terms, Term(layer=LayerKey("other.weight")))),
        replace(SIMPLE, rest=np.zeros((4, 2, 1, 1), np.float32)),
    ]
    digests = [row_of(recipe)["effective_sha256"] for recipe in (SIMPLE, *others)]
    assert len(set(digests)) == len(digests)


def test_the_layers_of_a_checkpoint_say_what_becomes_of_them() -> None:
    merged = replace(
        SIMPLE,
        layer=LayerKey("a.weight"),
        steps=("branches",),
        norm=None,
        terms=(Term(layer=LayerKey("a.weight")), Term(layer=LayerKey("b.weight"))),
    )
    found = effective.with_recipes(staged("b.weight", "conv.weight", "a.weight", "c.weight"), [merged, SIMPLE])
    assert found.effective is not None
    b, conv, a, c = found.rows
    assert found.effective["layer_id"].to_pylist() == [conv.layer_id, a.layer_id]
    assert found.effective["effective_sha256"].to_pylist() == [conv.effective_sha256, a.effective_sha256]
    assert [row.merged_into for row in found.rows] == [a.layer_id, None, None, None]
    assert (b.effective_sha256, c.effective_sha256) == (None, None)


def test_a_recipe_of_a_layer_that_is_not_written_is_left_out() -> None:
    two = replace(SIMPLE, terms=(*SIMPLE.terms, Term(layer=LayerKey("absent.weight"))))
    assert effective.with_recipes(staged("conv.weight"), [two]) == staged("conv.weight")
    unread = staged("conv.weight")
    unread = replace(unread, rows=(replace(unread.rows[0], layer_sha256=None),))
    assert effective.with_recipes(unread, [SIMPLE]) == unread


def test_the_rows_of_a_duplicate_have_its_names() -> None:
    found = effective.with_recipes(staged("conv.weight"), [SIMPLE]).effective
    assert found is not None
    renamed = effective.of_checkpoint(found, "hub/org/b.pt", "hub")
    wanted = effective.with_recipes(staged("conv.weight", model_id="hub/org/b.pt"), [SIMPLE]).effective
    assert renamed.equals(wanted)


def test_the_catalog_has_the_rows_as_they_were() -> None:
    found = effective.with_recipes(staged("conv.weight"), [SIMPLE]).effective
    assert found is not None
    assert effective.from_bytes(effective.to_bytes(found)).equals(found)
    for damaged in (b"", b"nonsense", effective.to_bytes(found)[:-200]):
        with pytest.raises(DatasetError, match="--rebuild"):
            effective.from_bytes(damaged)


@pytest.mark.parametrize(
    "change", [{"rest_kernel_size": [2, 2]}, {"rest": None, "rest_kernel_size": [1, 1]}, {"terms": [{}]}]
)
def test_a_damaged_row_is_told(change: dict[str, Any]) -> None:
    row = {**row_of(replace(SIMPLE, rest=np.zeros((4, 2, 1, 1), np.float32))), **change}
    with pytest.raises(DatasetError, match=r"local/a\.pt#conv\.weight: the row of `effective` is damaged"):
        effective.recipe_of(row)


@given(sizes=st.lists(st.integers(1, 5), max_size=6), cuts=st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=40, deadline=None)
def test_batches_are_split_by_checkpoint_wherever_they_end(sizes: list[int], cuts: list[int]) -> None:
    batches = []
    for number, size in enumerate(sizes):
        names = [f"{i}.weight" for i in range(size)]
        simple = [replace(SIMPLE, layer=LayerKey(name), terms=(Term(layer=LayerKey(name)),)) for name in names]
        made = effective.with_recipes(staged(*names, model_id=f"local/{number}"), simple).effective
        assert made is not None
        batches.append(made)
    assert [rows for batch in effective.effective_batches(iter(batches)) for rows in batch["model_id"].to_pylist()] == [
        f"local/{number}" for number, size in enumerate(sizes) for _ in range(size)
    ]
    if not batches:
        return
    whole = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    ends = sorted({0, len(whole), *(cut for cut in cuts if cut <= len(whole))})
    pieces = [whole.slice(start, stop - start) for start, stop in itertools.pairwise(ends)]
    found = list(effective.by_checkpoint(pieces))
    assert [name for name, _ in found] == [f"local/{number}" for number in range(len(sizes))]
    assert all(rows.equals(batch) for (_, rows), batch in zip(found, batches, strict=True))
