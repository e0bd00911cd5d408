"""What the calls in a pickle become: tensors, storages, arrays and containers for known functions, else stubs.

Every function here mirrors one that torch or NumPy writes into checkpoints; the table at the end maps their names.
Arguments: `torch/_utils.py`, `torch/storage.py`, `torch/jit/_pickle.py`, `numpy/_core/multiarray.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from filtercrawl_plugins.formats.pickle.interpreter import LARGE_OBJECT_COST, SMALL_OBJECT_COST, Machine
from filtercrawl_plugins.formats.pickle.objects import (
    Global,
    NumpyArray,
    NumpyDType,
    PickledBytes,
    PickledDict,
    PickledStorage,
    PickledTensor,
    Quantizer,
    Stub,
    to_name,
)

Arguments = tuple[object, ...]
Rebuild = Callable[[Machine, Arguments], object]

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
# torch dtypes by the type code of a NumPy dtype.
NUMPY_DTYPES: Final = {
    "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128", "b1": "bool",
    "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64",
}  # fmt: skip


def apply_reduce(machine: Machine, function: object, args: object) -> object:
    """Return the result of `function(*args)` as data: by `REBUILD` if it has the function, else a stub.

    Raises:
        TypeError: The arguments are not those of the function.
        ValueError: The same.
    """
    if not isinstance(args, tuple):
        raise TypeError("the arguments of a call are not a tuple")
    machine.charge(LARGE_OBJECT_COST)
    rebuild = REBUILD.get(function.path) if isinstance(function, Global) else None
    return rebuild(machine, args) if rebuild else Stub(function, args)


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
    pairs = [pair for held in metadata if isinstance(held, PickledDict) for pair in held.items()]
    return ("neg", True) in pairs


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


def unwrap_tensor(_: Machine, args: Arguments) -> object:
    """Return the tensor that a parameter, a variable or a tensor of another device wraps."""
    match args:
        case (PickledTensor() | NumpyArray() as inner, *_):
            return inner
    return Stub(Global("torch", "Tensor"), args)


def rebuild_from_type(machine: Machine, args: Arguments) -> object:
    """Return the tensor that a function and its arguments make, without the type they are wrapped in.

    The numbers of a distributed tensor are those of its local part.
    """
    match args:
        case (Global() as function, _, tuple(inner), *state) if REBUILD.get(function.path) is not rebuild_from_type:
            made = apply_reduce(machine, function, inner)
            return local_tensor(made, state) if isinstance(made, PickledTensor) and made.storage is None else made
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
        shards = [dict(shard.attributes()).get("tensor") for shard in held[0] if isinstance(shard, Stub)]
        if len(shards) == 1 and isinstance(shards[0], PickledTensor) and shards[0].shape == wrapper.shape:
            return shards[0]
        return replace(wrapper, shape=(), whole_shape=wrapper.shape)
    parts = held[:2] if isinstance(held, tuple) else (held,)
    attributes = {name: value for part in parts if isinstance(part, PickledDict) for name, value in part.items()}
    local = attributes.get("_local_tensor")
    if not isinstance(local, PickledTensor):
        return wrapper
    spec = attributes.get("_spec")
    placements = dict(spec.attributes()).get("placements") if isinstance(spec, Stub) else None
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


def make_dict(machine: Machine, args: Arguments) -> object:
    """Return a dictionary from another one or from a sequence of pairs; otherwise an empty one."""
    match args:
        case (PickledDict(pairs=pairs),):
            machine.charge(SMALL_OBJECT_COST * len(pairs))
            return PickledDict(list(pairs))
        case (list() | tuple() as entries,):
            machine.charge(SMALL_OBJECT_COST * len(entries))
            if all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):
                return PickledDict([(key, value) for key, value in entries])
    return PickledDict()


def make_defaultdict(machine: Machine, args: Arguments) -> object:
    """Return a dictionary; the first argument is the default factory."""
    return make_dict(machine, args[1:])


def make_sequence(_: Machine, args: Arguments) -> object:
    """Return the elements of a list, tuple or set."""
    match args:
        case (list() | tuple() as elements,):
            return elements
    return []


def unwrap_typed(_: Machine, args: Arguments) -> object:
    """Return the first argument of a function that only annotates its type."""
    if not args:
        raise TypeError("a type annotation has no value")
    return args[0]


def encode_latin1(machine: Machine, args: Arguments) -> object:
    """Return bytes, which protocols 0 to 2 write as Latin-1 text."""
    match args:
        case (PickledBytes() as located, *_):
            return located
        case (str(characters), *_):
            machine.charge(SMALL_OBJECT_COST + len(characters))
            return characters.encode("latin-1")
    return b""


def reconstruct(_: Machine, args: Arguments) -> object:
    """Return a stub for `copyreg._reconstructor(cls, base, state)`, which creates objects of protocols 0 and 1."""
    return Stub(args[0] if args else None, tuple(state for state in args[2:3] if state is not None))


def empty_array(_: Machine, __: Arguments) -> object:
    """Return an array that gets its shape, dtype and data from `set_array_state`."""
    return NumpyArray()


def array_from_buffer(_: Machine, args: Arguments) -> object:
    """Return an array from (buffer, dtype, shape, order), as protocol 5 writes them."""
    match args:
        case (bytes() | PickledBytes() as data, NumpyDType() as dtype, tuple(shape), order, *_):
            return NumpyArray(shape, dtype, order in ("F", b"F"), data)
    raise TypeError("invalid arguments of a NumPy array")


def numpy_dtype(_: Machine, args: Arguments) -> object:
    """Return a NumPy dtype; `set_dtype_state` sets its byte order."""
    code = to_name(args[0]) if args else None
    return NumpyDType(code or "")


def set_dtype_state(target: NumpyDType, state: object) -> None:
    """Apply the state of `numpy.dtype.__setstate__`: (version, byte order, ...)."""
    match state:
        case (_, order, *_):
            target.byte_order = to_name(order) or "?"


def set_array_state(target: NumpyArray, state: object) -> None:
    """Apply the state of `numpy.ndarray.__setstate__`: (version, shape, dtype, is Fortran order, data)."""
    match state:
        case (_, tuple(shape), NumpyDType() as dtype, fortran_order, data):
            target.shape, target.dtype, target.fortran_order, target.data = shape, dtype, bool(fortran_order), data
        case _:
            raise TypeError("invalid state of a NumPy array")


# Functions by their full name. Anything else that a pickle calls becomes a stub.
REBUILD: Final[dict[str, Rebuild]] = {
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": rebuild_tensor_v3,
    "torch._utils._rebuild_qtensor": rebuild_quantized,
    "torch._utils._rebuild_sparse_tensor": rebuild_sparse,
    "torch._utils._rebuild_sparse_csr_tensor": rebuild_sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": rebuild_meta,
    "torch._utils._rebuild_wrapper_subclass": rebuild_subclass,
    "torch._utils._rebuild_parameter": unwrap_tensor,
    "torch._utils._rebuild_parameter_with_state": unwrap_tensor,
    "torch._utils._rebuild_device_tensor_from_numpy": unwrap_tensor,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": unwrap_tensor,
    "torch._utils._rebuild_xla_tensor": unwrap_tensor,
    "torch.nn.parameter.Parameter": unwrap_tensor,
    "torch.nn.parameter.Buffer": unwrap_tensor,
    "torch.autograd.variable.Variable": unwrap_tensor,
    "torch._tensor._rebuild_from_type": rebuild_from_type,
    "torch._tensor._rebuild_from_type_v2": rebuild_from_type,
    "torch.tensor._rebuild_from_type": rebuild_from_type,
    **{f"torch.fx.graph_module.reduce_{kind}graph_module": graph_module for kind in ("", "package_", "deploy_")},
    "torch.storage._load_from_bytes": embedded_storage,
    "torch.Size": make_sequence,
    "torch.jit._pickle.build_intlist": unwrap_typed,
    "torch.jit._pickle.build_doublelist": unwrap_typed,
    "torch.jit._pickle.build_boollist": unwrap_typed,
    "torch.jit._pickle.build_tensorlist": unwrap_typed,
    "torch.jit._pickle.restore_type_tag": unwrap_typed,
    "collections.OrderedDict": make_dict,
    "collections.Counter": make_dict,
    "collections.defaultdict": make_defaultdict,
    **{f"{module}.dict": make_dict for module in ("builtins", "__builtin__")},
    **{f"{module}.{name}": make_sequence for module in ("builtins", "__builtin__")
       for name in ("list", "tuple", "set", "frozenset")},
    "_codecs.encode": encode_latin1,
    "copy_reg._reconstructor": reconstruct,
    "copyreg._reconstructor": reconstruct,
    **{f"numpy.{core}.multiarray._reconstruct": empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": array_from_buffer for core in ("core", "_core")},
    "numpy.dtype": numpy_dtype,
}  # fmt: skip
