"""Digest all tensors of a checkpoint, name for name, so that two files of other bytes can be proven equal."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.tensor import READ_CHUNK_BYTES, StoredTensor, TensorLocation
from filtercrawl.extraction.state_dict_names import strip_wrappers

_EMPTY: Final = hashlib.sha256().hexdigest()


def digest_tensors(tensors: Sequence[StoredTensor], max_bytes: int, cancellation: CancellationToken) -> str | None:
    """Return the SHA-256 of the names, shapes, dtypes and numbers of all tensors.

    Names are those within the mapping that holds a tensor, without what wrappers add, where these are unique.

    Args:
        tensors: All tensors of the checkpoint.
        max_bytes: Bytes to read at most: tensors may overlap in the file.
        cancellation: Ends the run.

    Returns:
        The digest in hex. None if the numbers of a tensor are not known, or scattered over the file.

    Raises:
        CheckpointError: The file cannot be read.
        Cancelled: The run is to end.
    """
    names = [strip_wrappers(tensor.key) for tensor in tensors]
    if max(Counter(names).values(), default=0) > 1:
        names = [tensor.name for tensor in tensors]
    known: dict[tuple[int, int, int], str] = {}
    lines = []
    for name, tensor in zip(names, tensors, strict=True):
        cancellation.raise_if_cancelled()
        location = tensor.location
        if location is None or tensor.weight is not None or tensor.parts:
            return None
        span = location.byte_span
        if span.stop - span.start != math.prod(location.shape) * location.itemsize:
            return None
        key = (id(span.file), span.start, span.stop)
        if key not in known:
            max_bytes -= span.stop - span.start
            if max_bytes < 0:
                return None
            known[key] = _digest(location)
        facts = (name, tensor.dtype, tensor.shape, _steps(location), tensor.negated, tensor.quantization, known[key])
        lines.append(f"{facts!r}\n")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest() if lines else None


def _digest(location: TensorLocation) -> str:
    span = location.byte_span
    if span.start == span.stop:
        return _EMPTY
    digest = hashlib.sha256()
    for start in range(span.start, span.stop, READ_CHUNK_BYTES):
        digest.update(span.file.read(start, min(READ_CHUNK_BYTES, span.stop - start)))
    return digest.hexdigest()


def _steps(location: TensorLocation) -> tuple[int, ...]:
    """Return the strides of the axes along which there is more than one element."""
    return tuple(stride for size, stride in zip(location.shape, location.strides, strict=True) if size > 1)
