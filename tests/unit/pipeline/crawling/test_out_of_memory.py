"""Which errors say that memory ran out, and so nothing of the checkpoint."""

from __future__ import annotations

import pytest
import torch

from filtercrawl.pipeline.crawling.crawl import is_out_of_memory


def test_the_cpu_allocator_of_torch() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**50)
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("shape '[3]' is invalid for input of size 4"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
