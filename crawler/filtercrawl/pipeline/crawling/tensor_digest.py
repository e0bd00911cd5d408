"""Digest all tensors of a checkpoint, name for name, so that two files of other bytes can be proven equal.

Only checkpoints with equal layers are compared, and the numbers of layers have been hashed when they were written: only
those of other tensors are read for it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.range_file import sha256_of_bytes
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES, TensorLocation
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.extraction.classify import ClassifiedTensors
from filtercrawl.extraction.layer import Layer
from filtercrawl.extraction.state_dict_names import strip_wrappers


def digest_tensors(
    tensors: Sequence[StoredTensor],
    layer_hashes: Mapping[str, str],
    max_bytes: int,
    cancellation: CancellationToken,
) -> str | None:
    """Return the SHA-256 of the names, shapes, dtypes and numbers of all tensors.

    Names are those within the mapping that holds a tensor, without what wrappers add, where these are unique.

    Args:
        tensors: All tensors of the checkpoint.
        layer_hashes: SHA-256 of the numbers of layers by the name of the tensor: `hashes_of_layers`.
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
        numbers = layer_hashes.get(tensor.name)
        if numbers is None:
            span = location.byte_span
            if span.stop - span.start != math.prod(location.shape) * location.itemsize:
                return None
            key = (id(span.file), span.start, span.stop)
            if key not in known:
                max_bytes -= span.stop - span.start
                if max_bytes < 0:
                    return None
                known[key] = _digest(location)
            numbers = known[key]
        facts = (name, tensor.dtype, tensor.shape, _steps(location), tensor.negated, tensor.quantization, numbers)
        lines.append(f"{facts!r}\n")
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest() if lines else None


def hashes_of_layers(classified: ClassifiedTensors, rows: Sequence[IndexRow]) -> dict[str, str]:
    """Return the hashes of the layers that prove the numbers of their tensor, by the name of the tensor.

    Args:
        classified: The tensors of a checkpoint.
        rows: Its layers, as they were written.
    """
    plain = {layer.tensor.name for layer in classified.emitted if _is_stored_as_such(layer)}
    return {row.tensor: row.layer_sha256 for row in rows if row.layer_sha256 is not None and row.tensor in plain}


def _is_stored_as_such(layer: Layer) -> bool:
    """Return whether a layer is the numbers of one tensor, all of them, and float32 has them exactly."""
    tensor = layer.tensor
    is_computed = tensor.weight is not None or tensor.quantization is not None or layer.mask is not None
    if is_computed or tensor.negated or tensor.bank_index is not None:
        return False
    return tensor.dtype in FLOAT_DTYPES - {"float64"} and math.prod(layer.shape) == math.prod(tensor.shape)


def _digest(location: TensorLocation) -> str:
    span = location.byte_span
    return sha256_of_bytes(*span)


def _steps(location: TensorLocation) -> tuple[int, ...]:
    """Return the strides of the axes along which there is more than one element."""
    return tuple(stride for size, stride in zip(location.shape, location.strides, strict=True) if size > 1)
