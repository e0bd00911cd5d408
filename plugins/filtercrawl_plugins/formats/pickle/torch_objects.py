"""What torch's calls in a pickle become: storages, tensors and modules, as data.

Arguments: `torch/_utils.py`, `torch/storage.py`, `torch/jit/_pickle.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from filtercrawl_plugins.formats.pickle.interpreter import Machine
from filtercrawl_plugins.formats.pickle.objects import (
    Global,
    NumpyArray,
    PickledBytes,
    PickledDict,
    PickledStorage,
    PickledTensor,
    Quantizer,
    Stub,
    to_name,
)

Arguments = tuple[object, ...]

# Element types by the class of a storage; quantized types map to the integers that they are stored as.
STORAGE_DTYPES: Final = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64", "QInt8Storage": "int8",
    "QUInt8Storage": "uint8", "QInt32Storage": "int32",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4", "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}  # fmt: skip


# Attributes of a `DTensor`.
_DTENSOR: Final = ("_local_tensor", "_spec")


def resolve_persistent_id(machine: Machine, pid: object) -> object:
    """Resolve a persistent id as torch writes them: a storage, or a class that was saved with its source.

    Raises:
        ValueError: It is neither, or the storage is invalid.
    """
    if isinstance(pid, tuple) and len(pid) > 8:
        raise ValueError("unknown kind of persistent id")
    match pid:
        case (b"storage" | "storage", Global() as storage_class, key, _, int(numel), *rest) if numel >= 0:
            dtype, name = STORAGE_DTYPES.get(storage_class.name), to_name(key)
            if dtype is None or name is None:
                raise ValueError("unknown storage class, or a storage without a key")
            view = None
            match rest:
                case [(_, int(start), int(size))]:
                    if start < 0 or size < 0 or start + size > numel:
                        raise ValueError("a view of a storage exceeds the storage")
                    view = (start, size)
            storage = PickledStorage(name, dtype, numel, view)
            machine.storages.setdefault(name, storage)
            return storage
        case (b"module" | "module", cls, *_):
            return cls
    raise ValueError("unknown kind of persistent id")


def rebuild_tensor(_: Machine, args: Arguments) -> object:
    """Return a tensor from (storage, offset, shape, strides, ...)."""
    match args:
        case (PickledStorage() as storage, int(offset), tuple(shape), tuple(strides), *rest):
            return PickledTensor(storage, offset, shape, strides, None, negated=_is_negated(rest[2:3]))
    raise TypeError("invalid arguments of a tensor")


def _is_negated(metadata: Sequence[object]) -> bool:
    """Return whether the metadata of a tensor, such as `{"neg": True}`, say that it is a lazy negation."""
    return any(isinstance(held, PickledDict) and held.named().get("neg") is True for held in metadata)


def rebuild_tensor_v3(_: Machine, args: Arguments) -> object:
    """Return a tensor whose dtype is stated, because its storage is untyped."""
    match args:
        case (PickledStorage() as storage, int(offset), tuple(shape), tuple(strides), _, _, Global() as dtype, *rest):
            return PickledTensor(storage, offset, shape, strides, dtype.name, negated=_is_negated(rest[:1]))
    raise TypeError("invalid arguments of a tensor")


def rebuild_quantized(_: Machine, args: Arguments) -> object:
    """Return a quantized tensor; one scale for all of it, or one per index of an axis."""
    match args:
        case (PickledStorage() as storage, int(offset), tuple(shape), tuple(strides), (_, scale, zero_point), *_):
            quantizer = Quantizer(scale, zero_point)
        case (
            PickledStorage() as storage,
            int(offset),
            tuple(shape),
            tuple(strides),
            (_, scale, zero_point, int(axis)),
            *_,
        ):
            if not 0 <= axis < len(shape):
                raise ValueError("the axis of a quantized tensor is out of range")
            quantizer = Quantizer(scale, zero_point, axis)
        case _:
            raise TypeError("invalid arguments of a quantized tensor")
    return PickledTensor(storage, offset, shape, strides, None, quantizer)


def rebuild_sparse(_: Machine, args: Arguments) -> object:
    """Return a sparse tensor (COO: indices, values; CSR: two index tensors, values) without its numbers."""
    match args:
        case (_, (PickledTensor(), PickledTensor(dtype=dtype, storage=storage), tuple(shape), *_)):
            pass
        case (_, (PickledTensor(), PickledTensor(), PickledTensor(dtype=dtype, storage=storage), tuple(shape), *_)):
            pass
        case _:
            raise TypeError("invalid arguments of a sparse tensor")
    return PickledTensor(None, 0, shape, (), dtype or (storage.dtype if storage else None))


def rebuild_meta(_: Machine, args: Arguments) -> object:
    """Return a tensor of the meta device, which has no numbers."""
    match args:
        case (Global() as dtype, tuple(shape), *_):
            return PickledTensor(None, 0, shape, (), dtype.name)
    raise TypeError("invalid arguments of a meta tensor")


def rebuild_subclass(_: Machine, args: Arguments) -> object:
    """Return a wrapper subclass of a tensor, whose numbers are elsewhere."""
    match args:
        case (_, Global() as dtype, tuple(shape), *_):
            return PickledTensor(None, 0, shape, (), dtype.name)
    raise TypeError("invalid arguments of a tensor subclass")


def rebuild_uninitialized(_: Machine, args: Arguments) -> object:
    """Return a parameter of a lazy module that has not run yet: it has neither a shape nor numbers."""
    del args
    return PickledTensor(None, 0, (), (), None)


def quanto_parts(cls: object, state: Sequence[object]) -> PickledDict | None:
    """Return the parts of a quantized tensor of optimum-quanto, as its state dicts name them; None for any other.

    Args:
        cls: The class of the tensor.
        state: Its state: a dictionary with the codes `_data`, `_scale`, and `_shift` where codes are packed.
    """
    attributes = state[0] if state else None
    if not isinstance(cls, Global) or not f"{cls.module}.".startswith(("optimum.quanto.", "quanto.")):
        return None
    if not isinstance(attributes, PickledDict):
        return None
    names = ("_data", "_scale", "_shift")
    held = {name: attributes.named().get(name) for name in names}
    parts = [(name, part) for name, part in held.items() if isinstance(part, PickledTensor | PickledDict)]
    return PickledDict(list[tuple[object, object]](parts)) if "_data" in dict(parts) else None


def unwrap_tensor(_: Machine, args: Arguments) -> object:
    """Return the tensor that a parameter, a variable or a tensor of another device wraps, or the parts of one."""
    match args:
        case (PickledTensor() | NumpyArray() | PickledDict() as inner, *_):
            return inner
    return Stub(Global("torch", "Tensor"), args)


def local_tensor(wrapper: PickledTensor, state: Sequence[object]) -> PickledTensor:
    """Return the local part of a distributed tensor, the wrapper itself for any other tensor.

    A part of a tensor, or one of several summands, has `whole_shape`.

    Args:
        wrapper: A tensor without numbers.
        state: The state of a `DTensor`, a dictionary or a tuple with one, or of a `ShardedTensor`, a tuple of its local
            shards and other attributes (`torch.distributed.tensor`, `torch.distributed._shard.sharded_tensor`).
    """
    held = state[0] if state else None
    if isinstance(held, tuple) and held and isinstance(held[0], list):
        shards = [shard.attributes().get("tensor") for shard in held[0] if isinstance(shard, Stub)]
        if len(shards) == 1 and isinstance(shards[0], PickledTensor) and shards[0].shape == wrapper.shape:
            return shards[0]
        return replace(wrapper, shape=(), whole_shape=wrapper.shape)
    parts = held[:2] if isinstance(held, tuple) else (held,)
    attributes = [part.named() for part in parts if isinstance(part, PickledDict)]
    local, spec = (next((named[name] for named in attributes if name in named), None) for name in _DTENSOR)
    if not isinstance(local, PickledTensor):
        return wrapper
    placements = spec.attributes().get("placements") if isinstance(spec, Stub) else None
    kinds = [place.path for place in placements if isinstance(place, Stub)] if isinstance(placements, tuple) else []
    summand = any("Partial" in kind.rpartition(".")[2] for kind in kinds)
    return local if local.shape == wrapper.shape and not summand else replace(local, whole_shape=wrapper.shape)


def graph_module(_: Machine, args: Arguments) -> object:
    """Return a `torch.fx.GraphModule` as a module: its attributes are the first dictionary of the arguments."""
    bodies = (body for body in args if isinstance(body, PickledDict))
    return Stub(Global("torch.fx.graph_module", "GraphModule"), states=list(islice(bodies, 1)))


def embedded_storage(_: Machine, args: Arguments) -> object:
    """Return a storage that was pickled as a complete torch file of its own."""
    match args:
        case (bytes() | PickledBytes() as data,):
            return PickledStorage("", "", 0, None, data)
    raise TypeError("invalid arguments of a storage")
