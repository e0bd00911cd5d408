"""Tensors and operators of a TFLite model, as far as the schema is needed to find weights.

Schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from filtercrawl.api.errors import FormatError, UnsafeFileError
from filtercrawl.api.range_file import RandomAccessFile
from filtercrawl.api.tensor import Quantization
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.flatbuffers import FlatFile, Table
from filtercrawl_plugins.readers.tflite.sparse import Sparsity

IDENTIFIER: Final = b"TFL3"
MAX_RANK: Final = 8
# Steps of an input of an operator, each of which is a use of a tensor.
INPUT_COST: Final = 8
# Scales of all tensors together.
MAX_SCALES: Final = 1 << 22
# torch dtypes by `TensorType`; packed integers have no torch dtype.
DTYPES: Final = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 8: "complex64", 9: "int8",
    10: "float64", 11: "complex128", 12: "uint64", 15: "uint32", 16: "uint16", 18: "bfloat16",
}  # fmt: skip
PACKED_DTYPES: Final = {17: "int4", 19: "int2", 20: "uint4"}


@dataclass(frozen=True, kw_only=True)
class ModelTensor:
    """A tensor of a subgraph.

    Attributes:
        name: Its name, which may be empty or not unique.
        shape: Sizes; () also where they are unknown.
        dtype: Name of the torch dtype, or a name of TFLite where torch has none.
        buffer: Number of its buffer.
        quantization: Scales and zero points, None if it has none.
        sparsity: Where its numbers belong, if the buffer holds only some of them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    quantization: Quantization | None
    sparsity: Sparsity | None


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator of a subgraph.

    Attributes:
        code: Number in `BuiltinOperator`; 32 for a custom operator.
        inputs: Numbers of tensors, -1 for one that is left out.
        outputs: Numbers of tensors.
        options: Its options.
    """

    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    """Tensors and operators of a subgraph."""

    tensors: tuple[ModelTensor, ...]
    operators: tuple[Operator, ...]

    def tensor(self, operator: Operator, position: int, *, output: bool = False) -> ModelTensor | None:
        """Return an input or output of an operator, None if it has no such one."""
        numbers = operator.outputs if output else operator.inputs
        if position >= len(numbers) or not 0 <= numbers[position] < len(self.tensors):
            return None
        return self.tensors[numbers[position]]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A parsed model.

    Attributes:
        subgraphs: The subgraphs, the main one first.
        buffers: Offset and length of each buffer; length 0 for a tensor that is computed.
    """

    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[tuple[int, int], ...]


def parse_model(file: RandomAccessFile) -> Model:
    """Parse a model without reading any number.

    Raises:
        CheckpointError: The file is damaged.
    """
    try:
        root = FlatFile(file, Budget(file)).root()
        codes = [max(code.number(0, "<b"), code.number(3, "<i")) for code in root.tables(1)]
        buffers = tuple(_buffer(buffer) for buffer in root.tables(4))
        scales = [0]
        subgraphs = tuple(_subgraph(subgraph, codes, scales) for subgraph in root.tables(2))
    except FormatError as error:
        raise FormatError(f"{file.name}: invalid TFLite model ({str(error).removeprefix(f'{file.name}: ')})") from error
    return Model(subgraphs=subgraphs, buffers=buffers)


def _buffer(buffer: Table) -> tuple[int, int]:
    start, length = buffer.vector(0, 1)
    offset, size = buffer.number(1, "<Q"), buffer.number(2, "<Q")
    return (offset, size) if offset > 1 and size else (start, length)  # behind the tables in models above 2 GB


def _subgraph(subgraph: Table, codes: list[int], scales: list[int]) -> Subgraph:
    operators = []
    for operator in subgraph.tables(3):
        index = operator.number(0, "<I")
        if index >= len(codes):
            raise FormatError(f"{subgraph.flat.file.name}: an operator has the unknown code {index}")
        inputs = operator.integers(1, "i")
        operator.flat.budget.spend(INPUT_COST * len(inputs))
        operators.append(
            Operator(
                code=codes[index],
                inputs=inputs,
                outputs=operator.integers(2, "i"),
                options=operator.table(4),
            )
        )
    return Subgraph(tensors=tuple(_tensor(tensor, scales) for tensor in subgraph.tables(0)), operators=tuple(operators))


def _tensor(tensor: Table, scales: list[int]) -> ModelTensor:
    _, rank = tensor.vector(0, 4)
    kind = tensor.number(1, "<b")
    shape = tensor.integers(0, "i") if rank <= MAX_RANK else ()
    name = tensor.text(3)
    tensor.flat.budget.add_tensor(len(name))
    return ModelTensor(
        name=name,
        shape=shape if min(shape, default=0) >= 0 else (),
        dtype=DTYPES.get(kind) or PACKED_DTYPES.get(kind) or f"tflite type {kind}",
        buffer=tensor.number(2, "<I"),
        quantization=_quantization(tensor.table(4), shape, scales),
        sparsity=None if (sparsity := tensor.table(6)) is None else Sparsity.parse(sparsity),
    )


def _quantization(table: Table | None, shape: tuple[int, ...], scales: list[int]) -> Quantization | None:
    """Return scales and zero points, None if there are none or they do not fit the tensor."""
    if table is None:
        return None
    _, count = table.vector(2, 4)
    scales[0] += count
    if scales[0] > MAX_SCALES:
        raise UnsafeFileError(f"{table.flat.file.name}: its tensors have more than {MAX_SCALES} scales")
    scale, zero_point, axis = table.numbers(2, "f"), table.integers(3, "q"), table.number(6, "<i")
    if not scale or not all(math.isfinite(number) for number in scale):
        return None
    if len(scale) == 1:
        axis = 0
    elif not 0 <= axis < len(shape) or len(scale) != shape[axis]:
        return None
    if len(zero_point) not in (0, 1, len(scale)) or any(abs(number) >= 1 << 31 for number in zero_point):
        return None
    return Quantization(scale=scale, zero_point=zero_point or (0,), axis=axis)
