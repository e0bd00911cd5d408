"""The tensors of a module, and those below it."""

from __future__ import annotations

import time

from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import TensorLocation
from filtercrawl.extraction.classify import classify_tensors
from filtercrawl.extraction.siblings import ModuleIndex

LOCATION = TensorLocation(file=MemoryFile(bytes(36), "x"), offset=0, dtype="float32", shape=(1, 1, 3, 3))


def kernel(name: str) -> StoredTensor:
    return StoredTensor(name=name, key=name, shape=(1, 1, 3, 3), dtype="float32", location=LOCATION)


def test_kernels_without_a_module_are_not_compared_each_with_all() -> None:
    tensors = [kernel(str(number)) for number in range(4000)]
    began = time.process_time()
    classify_tensors(tensors)
    assert time.process_time() - began < 2


def test_what_is_below_a_module() -> None:
    own = [kernel(f"a.{number}") for number in range(100)]
    deeper = [kernel(f"a.{number}.weight") for number in range(100)]
    index = ModuleIndex([*own, *deeper, kernel("ab.weight")])
    below = index.below(own[0])
    assert len(below) == 64
    assert below == index.below(own[99])
    assert {tensor.key for tensor in below} < {tensor.key for tensor in deeper}
    assert index.below(deeper[0]) == ()
