"""Reader of safetensors: a JSON header with dtypes, shapes and offsets, then the numbers, little-endian.

Specification: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from filtercrawl.api.errors import FormatError, TruncatedError
from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.reader import CheckpointContent, Files, Reader
from filtercrawl.api.tensor import StoredTensor
from filtercrawl.api.tensor_location import ITEMSIZE, TensorLocation
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.json_text import parse_json
from filtercrawl_plugins.readers.arrays.axis_order import Framework, arrange_arrays
from filtercrawl_plugins.readers.training_state import stated_progress

# Limit of the reference implementation.
MAX_HEADER_BYTES = 100_000_000
# Digits of an integer below 2**63, and characters of an object that may state how far training was.
MAX_DIGITS = 19
MAX_RANK = 64
MAX_JSON_LENGTH = 65_536

# torch dtypes by the names of the format.
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "BOOL": "bool", "C64": "complex64",
}  # fmt: skip

# Frameworks by the value of `format` in the metadata.
FRAMEWORKS = {
    "pt": Framework.TORCH, "torch": Framework.TORCH, "pytorch": Framework.TORCH, "paddle": Framework.TORCH,
    "mlx": Framework.MLX, "flax": Framework.JAX, "jax": Framework.JAX, "tf": Framework.JAX,
    "tensorflow": Framework.JAX, "keras": Framework.JAX,
}  # fmt: skip


class SafetensorsReader:
    """Reads safetensors files; a dtype that torch does not have has the reason `unreadable`."""

    name = "safetensors"

    def can_read(self, file: RandomAccessFile) -> bool:
        """Return whether a file starts with a plausible header length and a JSON object."""
        if file.size < 10:
            return False
        head = file.read(0, 9)
        return int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES and head[8:] == b"{"

    def companion_paths(self, file: RandomAccessFile) -> tuple[str, ...]:  # noqa: ARG002 - protocol
        """Return ()."""
        return ()

    def tensors(self, files: Files) -> Iterator[StoredTensor]:
        """Yield the tensors in the order of their bytes, which must be contiguous; raises CheckpointError.

        Kernels are arranged as in torch, by the framework that the header names under `format`.
        """
        yield from self.read_content(files).tensors

    def read_content(self, files: Files) -> CheckpointContent:
        """Return the tensors, and the training state in the metadata of the header; raises CheckpointError."""
        data_start, header = read_header(files.main)
        arranged = arrange_arrays(stored_tensors(files.main, data_start, header), framework_of(header))
        metadata = header.get("__metadata__")
        numbers = metadata_numbers(metadata) if isinstance(metadata, dict) else ()
        return CheckpointContent(tensors=tuple(arranged), training=stated_progress(numbers))


def stored_tensors(file: RandomAccessFile, data_start: int, header: dict[str, Any]) -> Iterator[StoredTensor]:
    """Yield the tensors of a header, their axes in the order of the file; raises FormatError."""
    budget = Budget(file)
    for name, stored in header.items():
        shape = stored.get("shape") if isinstance(stored, dict) else None
        budget.add_tensor(len(name), len(shape) if isinstance(shape, list) else 0)
    entries = [(name, *check_entry(file, name, entry)) for name, entry in header.items() if name != "__metadata__"]
    entries.sort(key=lambda entry: entry[3:])
    previous_end = 0
    for name, stored_dtype, shape, begin, end in entries:
        if begin != previous_end:
            raise FormatError(
                f"{file.name}: {name[:80]!r} starts at byte {begin}, the tensor before it ends at {previous_end}"
            )
        previous_end = end
        dtype = DTYPES.get(stored_dtype)
        location = None
        if dtype:
            if end - begin != math.prod(shape) * ITEMSIZE[dtype]:
                raise FormatError(
                    f"{file.name}: {name[:80]!r} has {end - begin} bytes, which do not fit {stored_dtype[:40]} "
                    f"{list(shape)}"
                )
            location = TensorLocation(file=file, offset=data_start + begin, dtype=dtype, shape=shape)
        yield StoredTensor(
            name=name,
            key=name,
            shape=shape,
            dtype=dtype or stored_dtype.lower(),
            location=location,
            reason=None if dtype else "unreadable",
        )


def framework_of(header: dict[str, Any]) -> Framework | None:
    """Return the framework that a header names, None if it names none that is known."""
    metadata = header.get("__metadata__")
    name = metadata.get("format") if isinstance(metadata, dict) else None
    return FRAMEWORKS.get(name.lower()) if isinstance(name, str) else None


def metadata_numbers(metadata: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the integers in the metadata of a header, whose values are text: decimal digits, or objects of JSON."""
    for name, text in metadata.items():
        if not isinstance(text, str):
            continue
        if text.isdecimal() and len(text) <= MAX_DIGITS:
            yield (name,), int(text)
        elif text.startswith("{") and len(text) <= MAX_JSON_LENGTH:
            with suppress(ValueError, RecursionError):
                yield from (((name, key), value) for key, value in json.loads(text).items() if type(value) is int)


def read_header(file: RandomAccessFile) -> tuple[int, dict[str, Any]]:
    """Read the header: its length as uint64, then JSON.

    Returns:
        Offset of the first tensor's bytes, and the header.

    Raises:
        FormatError: The header is not valid JSON, or has a key twice.
        TruncatedError: The header exceeds the file.
    """
    length = int.from_bytes(file.read(0, 8), "little")
    if length > file.size - 8:
        raise TruncatedError(f"{file.name}: its header claims {length} bytes, the file has {file.size}; fetch it again")
    header = parse_json(file.read(8, length), f"{file.name}: the safetensors header", _reject_duplicates)
    return 8 + length, header


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def check_entry(file: RandomAccessFile, name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """Validate the header's entry of a tensor.

    Args:
        file: The file, for messages.
        name: Name of the tensor.
        entry: Value of the header under that name.

    Returns:
        (dtype, shape, begin, end); offsets are relative to the end of the header.

    Raises:
        FormatError: The entry has no valid dtype, shape or data_offsets.
    """
    if isinstance(entry, dict):
        dtype, shape, offsets = entry.get("dtype"), _sizes(entry.get("shape")), _sizes(entry.get("data_offsets"))
        if isinstance(dtype, str) and shape is not None and offsets and len(offsets) == 2 and offsets[0] <= offsets[1]:
            return dtype, shape, offsets[0], offsets[1]
    raise FormatError(f"{file.name}: the entry of {name[:80]!r} has no valid dtype, shape or data_offsets")


def _sizes(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or len(value) > MAX_RANK:
        return None
    if not all(type(item) is int and 0 <= item < 1 << 63 for item in value):
        return None
    return tuple(value)


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    """Yield the reader of this plugin."""
    yield SafetensorsReader()
