"""Kernels of sparse convolutions are told from 3-D kernels in the order of torch by bias, BatchNorm and shape."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import classify_tensors

FILE = MemoryFile(bytes(1 << 22), "x")


def reasons(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str | None]:
    tensors = [
        StoredTensor(
            name=key, key=key, shape=shape, dtype="float32",
            location=TensorLocation(file=FILE, offset=0, dtype="float32", shape=shape),
        )
        for key, shape in shapes.items()
    ]  # fmt: skip
    ledger = classify_tensors(tensors, "all").ledger
    return {entry.tensor: entry.reason for entry in ledger if len(entry.shape) >= 4}


@pytest.mark.parametrize(
    "shapes",
    [
        # spconv 1.x, `[*k, in, out]`.
        {"conv.0.weight": (3, 3, 3, 4, 16), "conv.1.weight": (16,), "conv.1.running_mean": (16,)},
        {"conv.0.weight": (3, 1, 1, 64, 128), "conv.1.weight": (128,), "conv.1.running_mean": (128,)},
        {"conv.weight": (3, 3, 3, 16, 16), "conv.bias": (16,)},
        {"conv.weight": (3, 3, 3, 5, 16)},
        {"conv.weight": (2, 2, 2, 32, 32)},
        # spconv 2.x, `[out, *k, in]`.
        {"conv.0.weight": (16, 3, 3, 3, 4), "conv.1.weight": (16,), "conv.1.running_mean": (16,)},
        {"conv.weight": (32, 3, 3, 3, 16), "conv.bias": (32,)},
    ],
)
def test_axes_in_another_order(shapes: Mapping[str, tuple[int, ...]]) -> None:
    assert set(reasons(shapes).values()) == {"unknown_layout"}
    # Beside them, what may be a kernel in both orders is open; a kernel that torch's order alone gives is one.
    beside = {"a.weight": (16, 3, 3, 3, 3), "b.weight": (1, 1, 1, 8, 8), "c.weight": (3, 1, 1, 8, 8)}
    clear = {"d.weight": (32, 16, 3, 3, 3), "e.weight": (32, 16, 1, 3, 3), "f.weight": (8, 16, 3, 3)}
    found = reasons(shapes | beside | clear)
    assert {found[name] for name in beside} == {"unknown_layout"}
    assert {found[name] for name in clear} == {None}


@pytest.mark.parametrize(
    "shape",
    [
        (3, 3, 3, 3, 3), (16, 3, 3, 3, 3), (64, 3, 3, 7, 7), (3, 3, 3, 5, 5), (3, 3, 3, 7, 7), (16, 3, 3, 3, 1),
        (8, 1, 7, 3, 3), (16, 8, 5, 3, 3), (24, 1, 1, 1, 7), (96, 3, 2, 16, 16), (16, 1, 4, 4, 4), (4, 2, 2, 2, 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("normalized", [False, True])
def test_kernels_in_the_order_of_torch(shape: tuple[int, ...], normalized: bool) -> None:
    norm = {"conv.1.weight": shape[:1], "conv.1.running_mean": shape[:1]} if normalized else {}
    assert reasons({"conv.0.weight": shape} | norm) == {"conv.0.weight": None}
    assert reasons({"conv.0.weight": shape, "conv.0.bias": shape[:1]}) == {"conv.0.weight": None}
