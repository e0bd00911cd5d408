"""Makes TFLite models with the FlatBuffers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9, "int4": 17}
Options = Mapping[int, tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """Order of axes and blocks, the axis that each block divides, and levels: a size, or segments and indices."""

    order: Sequence[int]
    block_map: Sequence[int]
    levels: Sequence[int | tuple[Sequence[int], Sequence[int]]]
    index_type: str = "int32"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor: its numbers, or only a shape where it is computed."""

    name: str
    shape: Sequence[int]
    data: np.ndarray | None = None
    dtype: str = "float32"
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    axis: int = 0
    sparsity: Sparsity | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator: its code, the names of its tensors ("" for one that is left out), and its options by field.

    A runtime needs to be told of which kind the options are.
    """

    code: int
    inputs: Sequence[str]
    outputs: Sequence[str]
    options: Options = field(default_factory=dict)
    kind_of_options: int = 0


def model(
    tensors: Sequence[Tensor], nodes: Sequence[Node], *, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> bytes:
    """Return a model of one subgraph, each constant in a buffer of its own; to run, it needs its inputs and outputs."""
    builder = flatbuffers.Builder(1024)
    constants = [tensor for tensor in tensors if tensor.data is not None]
    buffers = [_table(builder, {})]
    for constant in constants:
        assert constant.data is not None
        raw = np.frombuffer(constant.data.tobytes(), np.uint8)
        buffers.append(_table(builder, {0: ("offset", builder.CreateNumpyVector(raw))}))
    number = {tensor.name: index + 1 for index, tensor in enumerate(constants)}
    made_tensors = [_tensor(builder, tensor, number.get(tensor.name, 0)) for tensor in tensors]
    codes = sorted({node.code for node in nodes})
    index = {tensor.name: position for position, tensor in enumerate(tensors)}
    made_nodes = [
        _table(
            builder,
            {
                0: ("uint32", codes.index(node.code)),
                1: ("offset", _vector(builder, [index.get(name, -1) for name in node.inputs], "int32")),
                2: ("offset", _vector(builder, [index[name] for name in node.outputs], "int32")),
                3: ("int8", node.kind_of_options),
                4: ("offset", _table(builder, node.options)),
            },
        )
        for node in nodes
    ]
    made_codes = [_table(builder, {0: ("int8", min(code, 127)), 3: ("int32", code)}) for code in codes]
    ends = [_vector(builder, [index[name] for name in names], "int32") for names in (inputs, outputs)]
    subgraph = _table(
        builder,
        {
            0: ("offset", _offsets(builder, made_tensors)),
            1: ("offset", ends[0]),
            2: ("offset", ends[1]),
            3: ("offset", _offsets(builder, made_nodes)),
        },
    )
    root = {
        0: ("uint32", 3),
        1: ("offset", _offsets(builder, made_codes)),
        2: ("offset", _offsets(builder, [subgraph])),
        4: ("offset", _offsets(builder, buffers)),
    }
    builder.Finish(_table(builder, root), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _tensor(builder: Any, tensor: Tensor, buffer: int) -> int:
    fields: dict[int, tuple[str, int]] = {
        0: ("offset", _vector(builder, tensor.shape, "int32")),
        1: ("int8", TYPES[tensor.dtype]),
        2: ("uint32", buffer),
        3: ("offset", builder.CreateString(tensor.name)),
    }
    if tensor.scale:
        scale, zero = _vector(builder, tensor.scale, "float32"), _vector(builder, tensor.zero_point, "int64")
        fields[4] = ("offset", _table(builder, {2: ("offset", scale), 3: ("offset", zero), 6: ("int32", tensor.axis)}))
    if tensor.sparsity is not None:
        fields[6] = ("offset", _sparsity(builder, tensor.sparsity))
    return _table(builder, fields)


def _sparsity(builder: Any, sparsity: Sparsity) -> int:
    kind = {"int32": 1, "uint16": 2, "uint8": 3}[sparsity.index_type]
    levels = []
    for level in sparsity.levels:
        if isinstance(level, int):
            levels.append(_table(builder, {1: ("int32", level)}))
        else:
            vectors = [_vector(builder, values, sparsity.index_type) for values in level]
            segments, indices = (_table(builder, {0: ("offset", vector)}) for vector in vectors)
            fields = {0: ("int8", 1), 2: ("int8", kind), 3: ("offset", segments), 4: ("int8", kind)}
            levels.append(_table(builder, {**fields, 5: ("offset", indices)}))
    vectors = [_vector(builder, values, "int32") for values in (sparsity.order, sparsity.block_map)]
    fields = {0: ("offset", vectors[0]), 1: ("offset", vectors[1]), 2: ("offset", _offsets(builder, levels))}
    return _table(builder, fields)


def _vector(builder: Any, values: Sequence[float], dtype: str) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype)))


def _offsets(builder: Any, places: Sequence[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _table(builder: Any, fields: Options) -> int:
    """Write a table of (type, value) by field."""
    write = {
        "offset": builder.PrependUOffsetTRelativeSlot, "int8": builder.PrependInt8Slot,
        "int32": builder.PrependInt32Slot, "uint32": builder.PrependUint32Slot,
    }  # fmt: skip
    builder.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in fields.items():
        write[kind](number, value, 0)
    return int(builder.EndObject())
