"""Which kernels the card shows, and how."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.card_picture import draw_layers
from filtercrawl.dataset.tables.picture_choice import KERNELS, LAYERS, PictureChoice
from filtercrawl.dataset.tables.samples import Samples

SIZES = ((3, 3), (7, 7), (5,), (1, 1), (2, 3, 3), (40, 40))


def layer(number: int, kernel_size: tuple[int, ...] = (3, 3), **facts: Any) -> IndexRow:
    taps = int(np.prod(kernel_size))
    row = IndexRow(
        model_id=f"m{number}", layer_id=f"m{number}#{number}", row_id=f"{number}#part0", source="s", layer="l",
        tensor="l.weight", op="conv", kernel="x".join(map(str, kernel_size)), kernel_size=kernel_size, taps=taps,
        shape=(8, 8, *kernel_size), out_channels=8, n_kernels=64, part=0, n_parts=1, out_start=0,
        stored_dtype="float32", layer_sha256=f"{number:064x}", file="f", row_group=0, weight_kind="learned",
        structure_source="state_dict", operator_verified=False,
    )  # fmt: skip
    return replace(row, **facts)


def samples_of(row: IndexRow) -> Samples:
    values = np.random.default_rng(int(row.layer_sha256 or "0", 16)).standard_normal((20, row.taps))
    return Samples(positions=np.arange(20), values=values.astype(np.float32))


def chosen(rows: list[IndexRow]) -> list[str]:
    choice = PictureChoice()
    for row in rows:
        choice.offer(row)
    return [row.layer_id for row in choice.candidates()]


def facts() -> st.SearchStrategy[IndexRow]:
    return st.builds(
        layer,
        st.integers(0, 10**6),
        st.sampled_from(SIZES),
        family=st.sampled_from([None, "a", "b", "c"]),
        is_first=st.sampled_from([None, True, False]),
        n_kernels=st.sampled_from([3, 64]),
    )


@given(st.lists(facts(), max_size=40, unique_by=lambda row: row.layer_id).flatmap(lambda rows: st.tuples(
    st.just(rows), st.permutations(rows))))  # fmt: skip
def test_the_choice_does_not_depend_on_the_order(orders: tuple[list[IndexRow], list[IndexRow]]) -> None:
    picked = chosen(orders[0])
    assert picked == chosen(orders[1])
    fitting = [row.layer_id for row in orders[0] if row.taps > 1 and row.kernel_size != (40, 40)]
    assert len(picked) >= min(LAYERS, len(fitting))
    assert set(picked) <= set(fitting)


def test_first_layers_and_families_come_first() -> None:
    first = [layer(n, (7, 7), family=f"f{n}", is_first=True) for n in range(6)]
    others = [layer(10 + n, family="f0" if n < 3 else f"g{n}") for n in range(9)]
    picked = chosen([*others, *first])[:LAYERS]
    assert all(int(name.partition("#")[2]) < 6 for name in picked[:4])
    assert all(int(name.partition("#")[2]) >= 10 for name in picked[4:])
    families = {row.layer_id: row.family for row in (*first, *others)}
    assert len({families[name] for name in picked}) == LAYERS


def test_of_one_family_all_checkpoints_are_shown() -> None:
    assert len(chosen([layer(n, family="f") for n in range(5)])) == 5
    assert len(chosen([layer(n, model_id="m") for n in range(5)])) == 5


@pytest.mark.parametrize(
    "fact",
    [
        {"row_group": None}, {"weight_kind": "fixed"}, {"run_final": False}, {"n_nonfinite": 1}, {"sparsity": 0.6},
        {"kernel_size": (1, 1), "taps": 1}, {"kernel_size": (40, 40), "taps": 1600},
    ],
    ids=lambda fact: next(iter(fact)),
)  # fmt: skip
def test_what_shows_nothing_of_training_is_left_out(fact: dict[str, Any]) -> None:
    assert chosen([replace(layer(0), **fact), layer(1)]) == ["m1#1"]


def test_layers_of_the_same_bytes_are_shown_once() -> None:
    assert len(chosen([layer(n, layer_sha256="a" * 64) for n in range(3)])) == 1


@pytest.mark.parametrize("kernel_size", [(3, 3), (7, 7), (5,), (2, 3, 3), (1, 36), (4, 8, 8)], ids=str)
def test_every_kernel_is_drawn_whole(kernel_size: tuple[int, ...]) -> None:
    rows = [layer(n, kernel_size) for n in range(LAYERS + 1)]
    shown, data = draw_layers(rows, lambda name: samples_of(rows[int(name, 16)]))
    assert data == draw_layers(rows, lambda name: samples_of(rows[int(name, 16)]))[1]
    assert data is not None
    assert len(shown) == LAYERS
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert pixels.shape == (270, 894, 4)
    assert set(np.unique(pixels[..., 3])) == {0, 255}  # the page is seen between the kernels
    assert len(data) < 30_000
    # Each kernel holds its own largest weight, drawn in the darkest blue or orange.
    dark = (pixels[..., :3] == (13, 43, 100)).all(-1) | (pixels[..., :3] == (125, 45, 5)).all(-1)
    steps = dark[:126, :210].reshape(3, 42, 5, 42).any(axis=(1, 3))
    assert steps.sum() == KERNELS


def test_layers_without_samples_make_room_for_others() -> None:
    rows = [layer(n) for n in range(3)]
    shown, data = draw_layers(rows, lambda name: samples_of(rows[2]) if int(name, 16) == 2 else None)
    assert [row.layer_id for row in shown] == ["m2#2"]
    assert data is not None
    assert draw_layers(rows, lambda _: None) == ([], None)
