"""Which kernels and layers stand for the rest, and how they are drawn."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.preview import IMAGE_SIZE_PX, render_layer, table
from filtercrawl.dataset.tables.samples import Samples, sample_batches, sample_positions

A, B = "a" * 64, "b" * 64
GREEN, WHITE = (20, 160, 60), (247, 247, 247)


@given(
    n=st.integers(0, 10**12),
    limit=st.integers(0, 200),
    content=st.text("0123456789abcdef", min_size=64, max_size=64),
)
def test_picked_kernels_are_distinct_sorted_and_in_range(n: int, limit: int, content: str) -> None:
    picked = sample_positions(content, n, limit)
    assert len(picked) == min(n, limit)
    assert picked == sorted(set(picked)) == sample_positions(content, n, limit)
    assert not picked or 0 <= picked[0] <= picked[-1] < n


def test_picks_are_what_they_were() -> None:
    assert sample_positions(A, 10**6, 4) == [313057, 479463, 722917, 968234]
    assert sample_positions(A, 5) == [0, 1, 2, 3, 4]
    assert sample_positions(A, 65) != sample_positions(B, 65)


def test_picks_are_spread_evenly() -> None:
    counts = np.bincount([i for seed in range(500) for i in sample_positions(f"{seed:064x}", 100, 10)], minlength=100)
    assert 25 <= counts.min() <= counts.max() <= 80


@given(k=st.integers(0, 5), taps=st.integers(1, 9))
def test_samples_survive_storage(k: int, taps: int) -> None:
    values = np.arange(k * taps, dtype=np.float32).reshape(k, taps)
    values[:1] = np.nan
    back = Samples.from_bytes(Samples(positions=np.arange(k) * 10**12, values=values).to_bytes())
    assert (back.positions.dtype.name, back.values.dtype.name) == ("int64", "float32")
    assert back.positions.tolist() == [i * 10**12 for i in range(k)]
    assert back.values.tobytes() == values.tobytes()


@given(st.binary(max_size=64))
def test_damaged_samples_are_refused(data: bytes) -> None:
    sound = Samples(positions=np.arange(2), values=np.ones((2, 3), np.float32)).to_bytes()
    for damaged in (data, sound[:-1], sound + data + b"x"):
        with pytest.raises(DatasetError, match="--rebuild"):
            Samples.from_bytes(damaged)


def row(layer_id: str, content: str = A, file: str | None = "f", kernel_size: tuple[int, ...] = (3, 3)) -> IndexRow:
    return IndexRow(
        model_id="m", layer_id=layer_id, row_id=f"{layer_id}#part0", source="s", layer="l", tensor="l.weight",
        op="conv2d", kernel="3x3", kernel_size=kernel_size, taps=9, shape=(4, 2, *kernel_size), out_channels=4,
        n_kernels=8, part=0, n_parts=1, out_start=0, stored_dtype="float32", layer_sha256=content, file=file,
        row_group=None if file is None else 0,
        weight_kind="learned", structure_source="state_dict", operator_verified=False,
    )  # fmt: skip


def test_samples_of_layers_without_a_file_are_another_checkpoints() -> None:
    stored = {A: Samples(positions=np.array([0, 3, 7]), values=np.eye(3, 9, dtype=np.float32))}
    (batch,) = sample_batches([row("x"), row("y", file=None), row("z", content=B), row("w")], stored.get)
    assert batch["kernel_id"].to_pylist() == ["x:0:0", "x:1:1", "x:3:1", "w:0:0", "w:1:1", "w:3:1"]
    assert batch["values"].to_pylist() == 2 * np.eye(3, 9).tolist()


def test_large_kernels_come_in_small_batches() -> None:
    big = Samples(positions=np.arange(64), values=np.ones((64, 20_000), np.float32))
    sizes = [batch.nbytes for batch in sample_batches([row(str(i)) for i in range(30)], lambda _: big)]
    assert len(sizes) > 5
    assert max(sizes) < 24 * 2**20


def test_equal_layers_are_drawn_once() -> None:
    asked = []

    def find(content: str) -> Samples:
        asked.append(content)
        return Samples(positions=np.arange(8), values=np.ones((8, 9), np.float32))

    (batch,) = table([row("x"), row("y"), row("z", content=B)], find, {})
    assert asked == [A, B]
    assert len({picture["bytes"] for picture in batch["picture"].to_pylist()}) == 1


def pixels(values: Any, kernel_size: tuple[int, ...]) -> np.ndarray[Any, Any]:
    data = render_layer(np.asarray(values, np.float32).reshape(len(values), -1), kernel_size)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.int64)


def test_colours_mean_what_they_say() -> None:
    picture = pixels([[-2.0, 0, 1, np.nan, np.inf, 2, 0, 0, 0]], (3, 3))
    size = (len(picture) - 3) // 3
    at = [
        [tuple(picture[3 + size * y + size // 2 - 1, 3 + size * x + size // 2 - 1].tolist()) for x in range(3)]
        for y in range(3)
    ]
    assert at[0][1] == at[2][0] == WHITE
    assert at[1][0] == at[1][1] == GREEN
    assert at[0][0][2] > at[0][0][0] + 50
    assert at[0][2][0] > at[0][2][2] + 50
    assert sum(at[1][2]) < sum(at[0][2])


def test_every_kernel_has_its_own_scale() -> None:
    kernel = np.linspace(-1, 1, 9)
    one, many = pixels([kernel], (3, 3)), pixels([kernel, 1e-30 * kernel, 0 * kernel], (3, 3))
    tile = one[3:-3, 3:-3]
    side = len(tile)
    assert (many[3 : 3 + side, 3 : 3 + side] == tile).all()
    assert (many[3 : 3 + side, 6 + side : 6 + 2 * side] == tile).all()
    assert (many[6 + side : 6 + 2 * side, 3 : 3 + side] == WHITE).all()


@pytest.mark.parametrize(
    "kernel_size",
    [(1,), (3,), (256,), (5_000,), (1, 1), (3, 3), (7, 7), (31, 31), (600, 600), (1, 256), (256, 1),
     (2, 3, 3), (5, 7, 7), (100, 100, 100), (1, 1, 9), (300, 1, 1)],
)  # fmt: skip
@pytest.mark.parametrize("k", [1, 64])
def test_any_shape_is_a_small_picture(kernel_size: tuple[int, ...], k: int) -> None:
    k = max(1, min(k, 4_000_000 // int(np.prod(kernel_size))))
    values = np.random.default_rng(0).standard_normal((k, int(np.prod(kernel_size)))).astype(np.float32)
    data = render_layer(values, kernel_size)
    picture = Image.open(io.BytesIO(data))
    assert max(picture.size) <= IMAGE_SIZE_PX
    assert len(data) < 20_000
    assert len(set(picture.convert("RGB").get_flattened_data())) > (2 if values.size > 3 else 1)
    assert render_layer(values, kernel_size) == data


@given(
    kernel_size=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    k=st.integers(1, 64),
    value=st.sampled_from([0.0, 1e-45, 3.4e38, -3.4e38, np.nan, np.inf, -np.inf]),
)
def test_no_value_is_too_strange(kernel_size: tuple[int, ...], k: int, value: float) -> None:
    values = np.full((k, int(np.prod(kernel_size))), value, np.float32)
    values[:, ::2] *= -1
    assert render_layer(values, kernel_size).startswith(b"\x89PNG")
