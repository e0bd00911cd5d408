"""Names of kernel sizes in sentences."""

from __future__ import annotations

import pytest

from filtercrawl_analysis.statistics.groups.kernel_words import kernel_phrase, size_phrase


@pytest.mark.parametrize(
    ("kernel", "phrase", "size"),
    [
        ("3x3", "3x3 kernels", "3x3"),
        ("1x3x3", "1x3x3 kernels", "1x3x3"),
        ("3", "1-D kernels of 3 taps", "3 taps (1-D)"),
        ("1", "1-D kernels of 1 tap", "1 tap (1-D)"),
    ],
)
def test_a_size_is_never_read_as_a_count(kernel: str, phrase: str, size: str) -> None:
    assert (kernel_phrase(kernel), size_phrase(kernel)) == (phrase, size)
