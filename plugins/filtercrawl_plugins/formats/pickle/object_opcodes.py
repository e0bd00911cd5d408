"""The opcodes of a pickle that build containers and objects, none of which imports or calls anything."""

from __future__ import annotations

from filtercrawl_plugins.formats.pickle.literal_opcodes import decode_unicode
from filtercrawl_plugins.formats.pickle.machine import (
    LARGE_OBJECT_COST,
    OPCODE_HANDLERS,
    SMALL_OBJECT_COST,
    Machine,
    opcode,
)
from filtercrawl_plugins.formats.pickle.objects import (
    MAX_NAME_LENGTH,
    Global,
    NumpyArray,
    NumpyDType,
    PickledDict,
    PickledStorage,
    PickledTensor,
    Stub,
    to_name,
)
from filtercrawl_plugins.formats.pickle.reduce import (
    apply_reduce,
    resolve_persistent_id,
    set_array_state,
    set_dtype_state,
)

__all__ = ["OPCODE_HANDLERS"]

# Parts of state of one object; Python writes two at most.
STATES = 8


@opcode(b"(")
def mark(m: Machine) -> None:
    m.push_mark()


@opcode(b"0")
def pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.pop_mark()


@opcode(b"1")
def pop_mark(m: Machine) -> None:
    m.pop_mark()


@opcode(b"2")
def dup(m: Machine) -> None:
    m.stack.append(m.stack[-1])


@opcode(b"t")
def tuple_(m: Machine) -> None:
    items = m.pop_mark()
    m.charge(SMALL_OBJECT_COST + 8 * len(items))
    m.stack.append(tuple(items))


def fixed_tuple(code: bytes, length: int) -> None:
    def push(m: Machine) -> None:
        if len(m.stack) < length:
            raise IndexError
        m.charge(SMALL_OBJECT_COST)
        m.stack[-length:] = [tuple(m.stack[-length:])]

    OPCODE_HANDLERS[code[0]] = push


fixed_tuple(b"\x85", 1)
fixed_tuple(b"\x86", 2)
fixed_tuple(b"\x87", 3)


@opcode(b"l\x91")
def list_(m: Machine) -> None:
    items = m.pop_mark()
    m.charge(SMALL_OBJECT_COST)
    m.stack.append(items)


@opcode(b"d")
def dict_(m: Machine) -> None:
    items = m.pop_mark()
    m.charge(SMALL_OBJECT_COST)
    m.stack.append(PickledDict())
    add_pairs(m, items)


@opcode(b"a")
def append(m: Machine) -> None:
    add_elements(m, [m.stack.pop()])


@opcode(b"e\x90")
def appends(m: Machine) -> None:
    add_elements(m, m.pop_mark())


def add_elements(m: Machine, items: list[object]) -> None:
    target = m.stack[-1]
    m.charge(8 * len(items))
    if isinstance(target, Stub):
        if target.elements is None:
            target.elements = []
        target.elements.extend(items)
    elif isinstance(target, list):
        target.extend(items)
    else:
        raise TypeError("puts elements into what is no list")


@opcode(b"s")
def set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    add_pairs(m, [key, value])


@opcode(b"u")
def set_items(m: Machine) -> None:
    add_pairs(m, m.pop_mark())


def add_pairs(m: Machine, items: list[object]) -> None:
    target = m.stack[-1]
    if len(items) % 2:
        raise ValueError("a key without a value")
    m.charge(SMALL_OBJECT_COST * len(items))
    if isinstance(target, Stub):
        if target.pairs is None:
            target.pairs = PickledDict()
        target = target.pairs
    if not isinstance(target, PickledDict):
        raise TypeError("puts keys into what is no mapping")
    target.pairs.extend(zip(items[::2], items[1::2], strict=True))


@opcode(b"c")
def global_(m: Machine) -> None:
    module, name = m.cursor.read_line(), m.cursor.read_line()
    m.charge(LARGE_OBJECT_COST + len(module) + len(name))
    if len(module) > MAX_NAME_LENGTH or len(name) > MAX_NAME_LENGTH:
        raise ValueError("it names a class by more than a name")
    m.stack.append(Global(decode_unicode(module), decode_unicode(name)))


@opcode(b"\x93")
def stack_global(m: Machine) -> None:
    name, module = to_name(m.stack.pop()), to_name(m.stack.pop())
    if name is None or module is None:
        raise TypeError("it names a class by what is no name")
    m.charge(LARGE_OBJECT_COST)
    m.stack.append(Global(module, name))


@opcode(b"R\x81")
def reduce(m: Machine) -> None:
    args = m.stack.pop()
    m.stack.append(apply_reduce(m, m.stack.pop(), args))


@opcode(b"\x92")
def new_object_ex(m: Machine) -> None:
    keywords, args, cls = m.stack.pop(), m.stack.pop(), m.stack.pop()
    made = apply_reduce(m, cls, args)
    if isinstance(made, Stub) and isinstance(keywords, PickledDict) and keywords.pairs:
        m.charge(8 * len(made.args))
        made.args = (*made.args, keywords)
    m.stack.append(made)


@opcode(b"i")
def instance(m: Machine) -> None:
    global_(m)
    cls, args = m.stack.pop(), tuple(m.pop_mark())
    m.stack.append(apply_reduce(m, cls, args))


@opcode(b"o")
def object_(m: Machine) -> None:
    cls, *args = m.pop_mark()
    m.stack.append(apply_reduce(m, cls, tuple(args)))


@opcode(b"b")
def build(m: Machine) -> None:
    state, target = m.stack.pop(), m.stack[-1]
    m.charge(SMALL_OBJECT_COST)
    if isinstance(target, Stub):
        if target.states is None:
            target.states = []
        # An object with slots has two parts of state, of which the first may be missing.
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
        target.states.extend(part for part in parts if part is not None)
        if len(target.states) > STATES:
            raise ValueError("it sets the state of one object again and again")
    elif isinstance(target, PickledDict):
        target.state = state
    elif isinstance(target, NumpyArray):
        set_array_state(target, state)
    elif isinstance(target, NumpyDType):
        set_dtype_state(target, state)
    elif not isinstance(target, PickledTensor | PickledStorage):
        raise TypeError("puts state into what has none")


@opcode(b"Q")
def persistent_id(m: Machine) -> None:
    m.charge(LARGE_OBJECT_COST)
    m.stack.append(resolve_persistent_id(m, m.stack.pop()))


@opcode(b"P\x82\x83\x84\x97\x98")
def foreign(_: Machine) -> None:
    raise ValueError("it refers to something outside of the file")
