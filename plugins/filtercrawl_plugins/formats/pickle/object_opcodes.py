"""Handlers of the opcodes that build containers and objects; none of them imports or calls anything."""

from __future__ import annotations

from typing import Final

from filtercrawl_plugins.formats.budget import MAX_NAME_LENGTH
from filtercrawl_plugins.formats.pickle.interpreter import (
    LARGE_OBJECT_COST,
    OPCODE_HANDLERS,
    SMALL_OBJECT_COST,
    Machine,
    opcode,
)
from filtercrawl_plugins.formats.pickle.literal_opcodes import decode_unicode
from filtercrawl_plugins.formats.pickle.named_code import reaches_out
from filtercrawl_plugins.formats.pickle.numpy_objects import set_array_state, set_dtype_state
from filtercrawl_plugins.formats.pickle.objects import (
    Global,
    NumpyArray,
    NumpyDType,
    PickledDict,
    PickledStorage,
    PickledTensor,
    Stub,
    to_name,
)
from filtercrawl_plugins.formats.pickle.reduce import apply_reduce, note_call
from filtercrawl_plugins.formats.pickle.torch_objects import resolve_persistent_id

__all__ = ["OPCODE_HANDLERS"]

# State objects of one instance; Python writes two at most.
MAX_STATES: Final = 8


@opcode(b"(")
def mark(machine: Machine) -> None:
    """MARK."""
    machine.push_mark()


@opcode(b"0")
def pop(machine: Machine) -> None:
    """POP: discard the top of the stack, or the topmost mark."""
    if machine.stack:
        machine.stack.pop()
    else:
        machine.pop_mark()


@opcode(b"1")
def pop_mark(machine: Machine) -> None:
    """POP_MARK."""
    machine.pop_mark()


@opcode(b"2")
def dup(machine: Machine) -> None:
    """DUP."""
    machine.stack.append(machine.stack[-1])


@opcode(b"t")
def tuple_(machine: Machine) -> None:
    """TUPLE: a tuple of everything above the mark."""
    items = machine.pop_mark()
    machine.charge(SMALL_OBJECT_COST + 8 * len(items))
    machine.stack.append(tuple(items))


def _register_tuple(code: bytes, length: int) -> None:
    """Register an opcode that makes a tuple of the topmost `length` objects."""

    def push(machine: Machine) -> None:
        if len(machine.stack) < length:
            raise IndexError
        machine.charge(SMALL_OBJECT_COST)
        machine.stack[-length:] = [tuple(machine.stack[-length:])]

    OPCODE_HANDLERS[code[0]] = push


_register_tuple(b"\x85", 1)  # TUPLE1
_register_tuple(b"\x86", 2)  # TUPLE2
_register_tuple(b"\x87", 3)  # TUPLE3


@opcode(b"l\x91")
def list_(machine: Machine) -> None:
    """LIST, FROZENSET: a list of everything above the mark."""
    items = machine.pop_mark()
    machine.charge(SMALL_OBJECT_COST)
    machine.stack.append(items)


@opcode(b"d")
def dict_(machine: Machine) -> None:
    """DICT: a dictionary of keys and values above the mark."""
    items = machine.pop_mark()
    machine.charge(SMALL_OBJECT_COST)
    machine.stack.append(PickledDict())
    _add_pairs(machine, items)


@opcode(b"a")
def append(machine: Machine) -> None:
    """APPEND."""
    _add_elements(machine, [machine.stack.pop()])


@opcode(b"e\x90")
def appends(machine: Machine) -> None:
    """APPENDS, ADDITEMS."""
    _add_elements(machine, machine.pop_mark())


def _add_elements(machine: Machine, items: list[object]) -> None:
    """Extend the list or stub at the top of the stack."""
    target = machine.stack[-1]
    machine.charge(8 * len(items))
    if isinstance(target, Stub):
        if target.elements is None:
            target.elements = []
        target.elements.extend(items)
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise TypeError("elements are added to an object that is not a list")


@opcode(b"s")
def set_item(machine: Machine) -> None:
    """SETITEM."""
    value, key = machine.stack.pop(), machine.stack.pop()
    _add_pairs(machine, [key, value])


@opcode(b"u")
def set_items(machine: Machine) -> None:
    """SETITEMS."""
    _add_pairs(machine, machine.pop_mark())


def _add_pairs(machine: Machine, items: list[object]) -> None:
    """Add alternating keys and values to the dictionary or stub at the top of the stack."""
    target = machine.stack[-1]
    if len(items) % 2:
        raise ValueError("a dictionary key has no value")
    machine.charge(SMALL_OBJECT_COST * len(items))
    if isinstance(target, Stub):
        if target.pairs is None:
            target.pairs = PickledDict()
        target = target.pairs
    if not isinstance(target, PickledDict):
        raise TypeError("items are set on an object that is not a dictionary")
    target.add(zip(items[::2], items[1::2], strict=True))


@opcode(b"c")
def global_(machine: Machine) -> None:
    """GLOBAL: push a class or function by name."""
    module, name = machine.cursor.read_line(), machine.cursor.read_line()
    machine.charge(LARGE_OBJECT_COST + len(module) + len(name))
    if len(module) > MAX_NAME_LENGTH or len(name) > MAX_NAME_LENGTH:
        raise ValueError(f"the name of a class is longer than {MAX_NAME_LENGTH} characters")
    _push_global(machine, decode_unicode(module), decode_unicode(name))


@opcode(b"\x93")
def stack_global(machine: Machine) -> None:
    """STACK_GLOBAL: push a class or function whose name is on the stack."""
    name, module = to_name(machine.stack.pop()), to_name(machine.stack.pop())
    if name is None or module is None:
        raise TypeError("the name of a class is not a string")
    machine.charge(LARGE_OBJECT_COST)
    _push_global(machine, module, name)


def _push_global(machine: Machine, module: str, name: str) -> None:
    if reaches_out(module, name):
        machine.budget.name_code(f"{module}.{name}")
    machine.stack.append(Global(module, name))


@opcode(b"R")
def reduce(machine: Machine) -> None:
    """REDUCE."""
    args = machine.stack.pop()
    function = machine.stack.pop()
    note_call(machine, function)
    machine.stack.append(apply_reduce(machine, function, args))


@opcode(b"\x81")
def new_object(machine: Machine) -> None:
    """NEWOBJ: make an object of a class without calling it."""
    args = machine.stack.pop()
    machine.stack.append(apply_reduce(machine, machine.stack.pop(), args))


@opcode(b"\x92")
def new_object_ex(machine: Machine) -> None:
    """NEWOBJ_EX: NEWOBJ with keyword arguments."""
    keywords, args, cls = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    instance = apply_reduce(machine, cls, args)
    if isinstance(instance, Stub) and isinstance(keywords, PickledDict) and keywords.pairs:
        machine.charge(8 * len(instance.args))
        instance.args = (*instance.args, keywords)
    machine.stack.append(instance)


@opcode(b"i")
def instance(machine: Machine) -> None:
    """INST."""
    global_(machine)
    cls, args = machine.stack.pop(), tuple(machine.pop_mark())
    note_call(machine, cls)
    machine.stack.append(apply_reduce(machine, cls, args))


@opcode(b"o")
def object_(machine: Machine) -> None:
    """OBJ."""
    cls, *args = machine.pop_mark()
    note_call(machine, cls)
    machine.stack.append(apply_reduce(machine, cls, tuple(args)))


@opcode(b"b")
def build(machine: Machine) -> None:
    """BUILD: set the state of an object."""
    state, target = machine.stack.pop(), machine.stack[-1]
    machine.charge(SMALL_OBJECT_COST)
    if isinstance(target, Stub):
        if target.states is None:
            target.states = []
        # With slots the state is a pair (dict or None, slots), see object.__reduce_ex__.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        target.states.extend(part for part in parts if part is not None)
        if len(target.states) > MAX_STATES:
            raise ValueError(f"the state of one object is set more than {MAX_STATES} times")
    elif isinstance(target, PickledDict):
        target.state = state
    elif isinstance(target, NumpyArray):
        set_array_state(target, state)
    elif isinstance(target, NumpyDType):
        set_dtype_state(target, state)
    elif not isinstance(target, PickledTensor | PickledStorage):
        raise TypeError("the state of an object that has none is set")


@opcode(b"Q")
def persistent_id(machine: Machine) -> None:
    """BINPERSID."""
    machine.charge(LARGE_OBJECT_COST)
    machine.stack.append(resolve_persistent_id(machine, machine.stack.pop()))


@opcode(b"P\x82\x83\x84\x97\x98")
def external_reference(_: Machine) -> None:
    """PERSID, EXT1, EXT2, EXT4, NEXT_BUFFER, READONLY_BUFFER."""
    raise ValueError("it refers to an object outside of the file")
