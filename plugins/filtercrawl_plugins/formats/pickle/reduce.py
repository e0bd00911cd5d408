"""What the calls in a pickle become: tensors, storages, arrays and containers for known functions, else stubs.

Every function mirrors one that torch, NumPy or Python writes into checkpoints; the table at the end maps their names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from filtercrawl_plugins.formats.pickle.interpreter import LARGE_OBJECT_COST, SMALL_OBJECT_COST, Machine
from filtercrawl_plugins.formats.pickle.named_code import is_function
from filtercrawl_plugins.formats.pickle.numpy_objects import array_from_buffer, empty_array, numpy_dtype
from filtercrawl_plugins.formats.pickle.objects import (
    Global,
    PickledBytes,
    PickledDict,
    PickledTensor,
    Stub,
)
from filtercrawl_plugins.formats.pickle.torch_objects import (
    embedded_storage,
    graph_module,
    local_tensor,
    quanto_parts,
    rebuild_meta,
    rebuild_quantized,
    rebuild_sparse,
    rebuild_subclass,
    rebuild_tensor,
    rebuild_tensor_v3,
    rebuild_uninitialized,
    unwrap_tensor,
)

Arguments = tuple[object, ...]
Rebuild = Callable[[Machine, Arguments], object]


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


def note_call(machine: Machine, function: object) -> None:
    """Note the call of a function that nothing is known of."""
    if isinstance(function, Global) and function.path not in REBUILD and is_function(function.module, function.name):
        machine.budget.name_code(function.path)


def rebuild_from_type(machine: Machine, args: Arguments) -> object:
    """Return the tensor that a function and its arguments make, without the type they are wrapped in.

    The numbers of a distributed tensor are those of its local part; a quantized one may be a dictionary of its parts.
    """
    match args:
        case (Global() as function, cls, tuple(inner), *state) if REBUILD.get(function.path) is not rebuild_from_type:
            made = apply_reduce(machine, function, inner)
            if not isinstance(made, PickledTensor) or made.storage is not None:
                return made
            return quanto_parts(cls, state) or local_tensor(made, state)
    return Stub(Global("torch", "Tensor"), args)


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
    "torch.nn.parameter.UninitializedParameter": rebuild_uninitialized,
    "torch.nn.parameter.UninitializedBuffer": rebuild_uninitialized,
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
