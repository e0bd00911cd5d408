"""Pickles read as data, against the standard library's writer."""

from __future__ import annotations

import collections
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filtercrawl.api.errors import FormatError, TruncatedError, UnsafeFileError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl_plugins.formats.budget import Budget
from filtercrawl_plugins.formats.pickle import Cursor, unpickle
from filtercrawl_plugins.formats.pickle.objects import Global, PickledDict, Stub, to_name

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def read(data: bytes) -> Any:
    file = MemoryFile(data, "x.pt")
    return unpickle(Cursor(file), Budget(file)).value


def plain(value: object) -> object:
    """Convert a result to the object that was pickled."""
    if isinstance(value, PickledDict):
        return {plain(key): plain(item) for key, item in value.pairs}
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return value


# Protocols 0 to 2 write empty bytes as a call of `bytes`, which becomes a stub.
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(min_size=1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(values, st.sampled_from(PROTOCOLS))
def test_plain_values(value: object, protocol: int) -> None:
    assert plain(read(pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_known_containers(protocol: int) -> None:
    ordered = collections.OrderedDict(a=1, b=2)
    assert plain(read(pickle.dumps(ordered, protocol))) == {"a": 1, "b": 2}
    assert sorted(read(pickle.dumps({1, 2}, protocol))) == [1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_calls_become_stubs(protocol: int) -> None:
    stub = read(pickle.dumps(collections.UserString("harmless"), protocol))
    assert isinstance(stub, Stub)
    assert stub.path == "collections.UserString" or isinstance(stub.cls, Global)
    assert dict(stub.attributes()) == {"data": "harmless"}


def test_the_cursor_stops_after_the_pickle() -> None:
    file = MemoryFile(pickle.dumps(1) + pickle.dumps("two") + b"rest")
    cursor, budget = Cursor(file), Budget(file)
    assert [unpickle(cursor, budget).value for _ in range(2)] == [1, "two"]
    assert cursor.read(cursor.remaining) == b"rest"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"K", TruncatedError),
        (b".", FormatError),
        (b"\xff", FormatError),
        (b"\x80\x06.", FormatError),
        (b"h\x07.", FormatError),
        (b"NNs.", FormatError),
        (b"Q", FormatError),
    ],
)
def test_invalid_streams(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^x\.pt: "):
        read(data)


def test_the_memory_budget() -> None:
    data = pickle.dumps([[] for _ in range(1000)], 2)
    file = MemoryFile(data, "x.pt")
    assert len(read(data)) == 1000
    budget = Budget(file)
    budget.memory = 1000
    with pytest.raises(UnsafeFileError, match=r"^x\.pt: has more than .* bytes of objects"):
        unpickle(Cursor(file), budget)


def test_opcodes_are_steps() -> None:
    file = MemoryFile(b"N" * 9 + b".", "x.pt")
    budget = Budget(file)
    before = budget.steps
    unpickle(Cursor(file), budget)
    assert before - budget.steps == 10
    budget.steps = 9
    with pytest.raises(UnsafeFileError, match="steps of parsing, the limit of a file of 10 bytes"):
        unpickle(Cursor(file), budget)


def test_repeated_keys_keep_their_first_position() -> None:
    mapping = PickledDict([("a", 1), ("b", 2), ("a", 3), ((), 4)])
    assert list(mapping.items()) == [("a", 3), ("b", 2), ("3", 4)]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a", "a"),
        (b"a", "a"),
        (b"\xff", "ÿ"),
        (3, "3"),
        (None, "None"),
        ("\ud800", "\\ud800"),
        ((), None),
        ("x" * 5000, None),
    ],
)
def test_names(key: object, name: str | None) -> None:
    assert to_name(key) == name
