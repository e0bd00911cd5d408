"""The few callables that checkpoints call for tensors, and what each becomes here; others become stubs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from filtercrawl_plugins.formats.pickle.machine import LARGE_OBJECT_COST, SMALL_OBJECT_COST, Machine
from filtercrawl_plugins.formats.pickle.objects import (
    Global,
    NumpyArray,
    NumpyDType,
    PickledDict,
    PickledStorage,
    PickledTensor,
    Quantizer,
    Stub,
    to_name,
)

Arguments = tuple[object, ...]
Rebuild = Callable[[Machine, Arguments], object]

# What a storage's class says of its numbers; quantised codes are the integers that they are stored as.
STORAGE_DTYPES: Final = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16",
    "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64", "QInt8Storage": "int8",
    "QUInt8Storage": "uint8", "QInt32Storage": "int32",
    "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4", "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}  # fmt: skip
NUMPY_DTYPES: Final = {
    "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64", "c16": "complex128", "b1": "bool",
    "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32",
    "u8": "uint64",
}  # fmt: skip


def apply_reduce(machine: Machine, function: object, args: object) -> object:
    """Return what stands for `function(*args)`; a function that is not in the table below becomes a stub."""
    if not isinstance(args, tuple):
        raise TypeError("calls with arguments that are no tuple")
    machine.charge(LARGE_OBJECT_COST)
    known = REBUILD.get(function.path) if isinstance(function, Global) else None
    return known(machine, args) if known else Stub(function, args)


def resolve_persistent_id(machine: Machine, pid: object) -> object:
    """Return what a persistent id of torch stands for: a storage, or a class that came with its source."""
    if isinstance(pid, tuple) and len(pid) > 8:
        raise ValueError("it holds a persistent id that torch does not write")
    match pid:
        case (b"storage" | "storage", Global() as kind, key, _, int(numel), *rest) if numel >= 0:
            dtype, name = STORAGE_DTYPES.get(kind.name), to_name(key)
            if dtype is None or name is None:
                raise ValueError("it names a storage of no known kind")
            view = None
            match rest:
                case [(_, int(start), int(size))]:
                    if start < 0 or size < 0 or start + size > numel:
                        raise ValueError("a storage is a view beyond its end")
                    view = (start, size)
            storage = PickledStorage(name, dtype, numel, view)
            machine.storages.setdefault(name, storage)
            return storage
        case (b"module" | "module", cls, *_):
            return cls
    raise ValueError("it holds a persistent id that torch does not write")


def tensor(_: Machine, args: Arguments) -> object:
    match args:
        case (PickledStorage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            return PickledTensor(storage, offset, shape, strides, None)
    raise TypeError("a tensor of wrong arguments")


def tensor_v3(_: Machine, args: Arguments) -> object:
    match args:
        case (PickledStorage() as storage, int(offset), tuple(shape), tuple(strides), _, _, Global() as dtype, *_):
            return PickledTensor(storage, offset, shape, strides, dtype.name)
    raise TypeError("a tensor of wrong arguments")


def quantized(_: Machine, args: Arguments) -> object:
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
                raise ValueError("a quantised tensor without the axis of its scales")
            quantizer = Quantizer(scale, zero_point, axis)
        case _:
            raise TypeError("a quantised tensor of wrong arguments")
    return PickledTensor(storage, offset, shape, strides, None, quantizer)


def sparse(_: Machine, args: Arguments) -> object:
    match args:
        case (_, (PickledTensor(), PickledTensor(dtype=dtype, storage=storage), tuple(shape), *_)):
            pass
        case (_, (PickledTensor(), PickledTensor(), PickledTensor(dtype=dtype, storage=storage), tuple(shape), *_)):
            pass
        case _:
            raise TypeError("a sparse tensor of wrong arguments")
    return PickledTensor(None, 0, shape, (), dtype or (storage.dtype if storage else None))


def meta(_: Machine, args: Arguments) -> object:
    match args:
        case (Global() as dtype, tuple(shape), *_):
            return PickledTensor(None, 0, shape, (), dtype.name)
    raise TypeError("a tensor without numbers of wrong arguments")


def wrapper(_: Machine, args: Arguments) -> object:
    match args:
        case (_, Global() as dtype, tuple(shape), *_):
            return PickledTensor(None, 0, shape, (), dtype.name)
    raise TypeError("a tensor subclass of wrong arguments")


def first(_: Machine, args: Arguments) -> object:
    """A parameter, a variable, a tensor moved from a device: what it wraps."""
    match args:
        case (PickledTensor() | NumpyArray() as inner, *_):
            return inner
    return Stub(Global("torch", "Tensor"), args)


def from_type(machine: Machine, args: Arguments) -> object:
    match args:
        case (Global() as function, _, tuple(inner), *_) if REBUILD.get(function.path) is not from_type:
            return apply_reduce(machine, function, inner)
    return Stub(Global("torch", "Tensor"), args)


def embedded(_: Machine, args: Arguments) -> object:
    match args:
        case (bytes(data),):
            return PickledStorage("", "", 0, None, data)
    raise TypeError("a storage of wrong arguments")


def mapping(machine: Machine, args: Arguments) -> object:
    match args:
        case (PickledDict(pairs=pairs),):
            machine.charge(SMALL_OBJECT_COST * len(pairs))
            return PickledDict(list(pairs))
        case (list() | tuple() as entries,):
            machine.charge(SMALL_OBJECT_COST * len(entries))
            if all(isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries):
                return PickledDict([(key, value) for key, value in entries])
    return PickledDict()


def default_mapping(machine: Machine, args: Arguments) -> object:
    return mapping(machine, args[1:])


def sequence(_: Machine, args: Arguments) -> object:
    match args:
        case (list() | tuple() as elements,):
            return elements
    return []


def item(_: Machine, args: Arguments) -> object:
    """Whatever only tags its first argument with a type."""
    if not args:
        raise TypeError("a typed value without the value")
    return args[0]


def encode(machine: Machine, args: Arguments) -> object:
    match args:
        case (str(characters), *_):
            machine.charge(SMALL_OBJECT_COST + len(characters))
            return characters.encode("latin-1")
    return b""


def stand_in(_: Machine, args: Arguments) -> object:
    """Make the object of a class that Python's own copying protocol asks for."""
    return Stub(args[0] if args else None, tuple(state for state in args[2:3] if state is not None))


def array(_: Machine, __: Arguments) -> object:
    return NumpyArray()


def array_from_buffer(_: Machine, args: Arguments) -> object:
    match args:
        case (bytes(data), NumpyDType() as dtype, tuple(shape), order, *_):
            return NumpyArray(shape, dtype, order in ("F", b"F"), data)
    raise TypeError("an array of wrong arguments")


def dtype(_: Machine, args: Arguments) -> object:
    code = to_name(args[0]) if args else None
    return NumpyDType(code or "")


def set_dtype_state(target: NumpyDType, state: object) -> None:
    match state:
        case (_, order, *_):
            target.byte_order = to_name(order) or "?"


def set_array_state(target: NumpyArray, state: object) -> None:
    match state:
        case (_, tuple(shape), NumpyDType() as kind, fortran, data):
            target.shape, target.dtype, target.fortran_order, target.data = shape, kind, bool(fortran), data
        case _:
            raise TypeError("an array of wrong state")


REBUILD: Final[dict[str, Rebuild]] = {
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_tensor_v3": tensor_v3,
    "torch._utils._rebuild_qtensor": quantized,
    "torch._utils._rebuild_sparse_tensor": sparse,
    "torch._utils._rebuild_sparse_csr_tensor": sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": meta,
    "torch._utils._rebuild_wrapper_subclass": wrapper,
    "torch._utils._rebuild_parameter": first,
    "torch._utils._rebuild_parameter_with_state": first,
    "torch._utils._rebuild_device_tensor_from_numpy": first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": first,
    "torch._utils._rebuild_xla_tensor": first,
    "torch.nn.parameter.Parameter": first,
    "torch.nn.parameter.Buffer": first,
    "torch.autograd.variable.Variable": first,
    "torch._tensor._rebuild_from_type": from_type,
    "torch._tensor._rebuild_from_type_v2": from_type,
    "torch.tensor._rebuild_from_type": from_type,
    "torch.storage._load_from_bytes": embedded,
    "torch.Size": sequence,
    "torch.jit._pickle.build_intlist": item,
    "torch.jit._pickle.build_doublelist": item,
    "torch.jit._pickle.build_boollist": item,
    "torch.jit._pickle.build_tensorlist": item,
    "torch.jit._pickle.restore_type_tag": item,
    "collections.OrderedDict": mapping,
    "collections.Counter": mapping,
    "collections.defaultdict": default_mapping,
    **{f"{module}.dict": mapping for module in ("builtins", "__builtin__")},
    **{f"{module}.{name}": sequence for module in ("builtins", "__builtin__")
       for name in ("list", "tuple", "set", "frozenset")},
    "_codecs.encode": encode,
    "copy_reg._reconstructor": stand_in,
    "copyreg._reconstructor": stand_in,
    **{f"numpy.{core}.multiarray._reconstruct": array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": array_from_buffer for core in ("core", "_core")},
    "numpy.dtype": dtype,
}  # fmt: skip
