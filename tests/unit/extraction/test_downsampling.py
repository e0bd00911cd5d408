"""What strides tell of the part of a convolution: None wherever it cannot be told."""

from __future__ import annotations

import pytest

from filtercrawl.api.convolution import Op
from filtercrawl.extraction.downsampling import is_downsampling, is_patchify


@pytest.mark.parametrize(
    ("op", "kernel_size", "stride", "is_first", "patchify", "downsampling"),
    [
        ("conv2d", (4, 4), (4, 4), True, True, False),
        ("conv2d", (4, 4), (4, 4), None, None, None),
        ("conv2d", (2, 2), (2, 2), False, False, True),
        ("conv2d", (7, 7), (2, 2), True, False, True),
        ("conv2d", (7, 7), (2, 2), None, False, True),
        ("conv2d", (1, 1), (1, 1), True, False, False),
        ("conv2d", (1, 1), (2, 2), None, False, True),
        ("conv2d", (3, 3), (1, 1), None, False, False),
        ("conv2d", (3, 3), None, True, None, None),
        ("conv2d", (3, 3), None, False, False, None),
        ("conv3d", (2, 16, 16), (2, 16, 16), True, True, False),
        ("conv2d", (16, 4), (8, 4), True, False, True),
        ("conv_transpose2d", (2, 2), (2, 2), True, False, False),
    ],
)
def test_patches_and_downsampling(
    op: Op,
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...] | None,
    is_first: bool | None,
    patchify: bool | None,
    downsampling: bool | None,
) -> None:
    assert is_patchify(op, kernel_size, stride, is_first) is patchify
    assert is_downsampling(op, stride, patchify) is downsampling
