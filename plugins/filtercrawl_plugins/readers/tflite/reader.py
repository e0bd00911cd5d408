"""The reader of TFLite models; see `filtercrawl.api.Reader` for the methods."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from filtercrawl.api.errors import FormatError
from filtercrawl.api.layout import arrange
from filtercrawl.api.range_file import RandomAccessFile, Span
from filtercrawl.api.reader import Files
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import FLOAT_DTYPES, ITEMSIZE, TensorLocation
from filtercrawl_plugins.readers.tflite.model import IDENTIFIER, PACKED_DTYPES, Model, ModelTensor, parse_model
from filtercrawl_plugins.readers.tflite.sparse import sparse_location
from filtercrawl_plugins.readers.tflite.usage import Use, constant_uses

Constant = tuple[int, tuple[int, ...], str]


class TfliteReader:
    """Reads the constants of TFLite models; kernels are what a convolution of the graph uses as its weight."""

    name = "tflite"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file has the identifier of TFLite."""
        return file.size >= 8 and file.read(4, 4) == IDENTIFIER

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield each constant once, in the order of the graph, kernels arranged as in torch; raises CheckpointError."""
        model = parse_model(files.main)
        uses: dict[Constant, list[Use]] = {}
        for subgraph in model.subgraphs:
            for tensor, use in constant_uses(subgraph):
                uses.setdefault(identity(tensor), []).append(use)
        names: dict[str, int] = {}
        seen: set[Constant] = set()
        for subgraph in model.subgraphs:
            for tensor in subgraph.tensors:
                key = identity(tensor)
                if not is_constant(model, tensor) or key in seen:
                    continue
                seen.add(key)
                name = unique_name(tensor.name or f"tensor_{len(seen)}", names)
                yield describe(locate(model, tensor, name, files.main), uses.get(key, []))


def identity(tensor: ModelTensor) -> Constant:
    """Return what makes a constant the same one in several subgraphs."""
    return tensor.buffer, tensor.shape, tensor.dtype


def is_constant(model: Model, tensor: ModelTensor) -> bool:
    """Return whether the file holds the numbers of a tensor, which is computed otherwise."""
    return tensor.buffer < len(model.buffers) and model.buffers[tensor.buffer][1] > 0


def locate(model: Model, tensor: ModelTensor, name: str, file: RandomAccessFile) -> StoredTensor:
    """Return the record of a constant, its axes in the order of the file; raises FormatError."""
    start, length = model.buffers[tensor.buffer]
    location, reason = None, "unreadable"
    if tensor.dtype in PACKED_DTYPES.values():
        reason = "quantized_codes"
    elif tensor.sparsity is not None:
        if tensor.dtype in FLOAT_DTYPES and length % ITEMSIZE[tensor.dtype] == 0:
            span = Span(file, start, start + length)
            location = sparse_location(file, span, tensor.sparsity, tensor.dtype, tensor.shape)
    elif tensor.dtype in ITEMSIZE:
        if math.prod(tensor.shape) * ITEMSIZE[tensor.dtype] != length:
            raise FormatError(
                f"{file.name}: {name!r} has {length} bytes, which do not fit {tensor.dtype} {list(tensor.shape)}"
            )
        location = TensorLocation(file=file, offset=start, dtype=tensor.dtype, shape=tensor.shape)
    return StoredTensor(
        name=name,
        key=name.replace("/", "."),
        layer=name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        location=location,
        quantization=tensor.quantization if tensor.dtype.startswith(("int", "uint")) else None,
        reason=None if location else reason,
    )


def describe(tensor: StoredTensor, uses: Sequence[Use]) -> StoredTensor:
    """Return a constant with what its uses prove."""
    kernels = [use for use in uses if use.layout is not None]
    if not kernels:
        reasons = [use.reason for use in uses if use.reason != "constant"]
        return replace(tensor, reason=tensor.reason or (reasons[0] if reasons else "constant"))
    if tensor.reason is not None:
        return tensor
    first = kernels[0]
    stated = [use.convolution for use in kernels]
    if len({use.layout for use in kernels}) > 1 or len({one and (one.op, one.groups) for one in stated}) > 1:
        return replace(tensor, reason="nonstandard_operator")
    assert first.layout is not None
    convolution = first.convolution
    arranged = arrange(tensor, first.layout, transposed=convolution is not None and convolution.transposed)
    if convolution is not None:
        convolution = replace(convolution, n_calls=len(kernels))
    return replace(arranged, convolution=convolution)


def unique_name(name: str, names: dict[str, int]) -> str:
    """Return a name that no other constant has.

    Args:
        name: The name in the file.
        names: The names that are taken, with the number that was last added to each; changed by this function.
    """
    number, unique = names.get(name, 1), name
    while unique in names:
        number += 1
        unique = f"{name}#{number}"
    names[name] = number
    names.setdefault(unique, 1)
    return unique
