"""What a pickle is made of once it is read as data: containers, stubs of objects, tensors by reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from filtercrawl.api.tensor import ITEMSIZE

# No name of a tensor, a class or a storage is longer.
MAX_NAME_LENGTH: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A class or function by name; it is never looked up."""

    module: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class PickledDict:
    """A mapping as its keys and values came; nothing is hashed, so nothing is slow or unhashable.

    state: what a subclass or an attribute added.
    """

    pairs: list[tuple[object, object]] = field(default_factory=list)
    state: object = None

    def items(self) -> Iterator[tuple[str, object]]:
        """Yield names and values as a dictionary would hold them: the last value at the first place."""
        held: dict[tuple[bool, str], object] = {}
        for index, (key, value) in enumerate(self.pairs):
            name = to_name(key)
            held[isinstance(key, int), str(index) if name is None else name] = value
        for (_, name), value in held.items():
            yield name, value


@dataclass(slots=True, eq=False)
class Stub:
    """An object that was not made: what would have been called, with what, and what was put into it."""

    cls: object
    args: tuple[object, ...] = ()
    states: list[object] | None = None
    elements: list[object] | None = None
    pairs: PickledDict | None = None

    @property
    def path(self) -> str:
        return self.cls.path if isinstance(self.cls, Global) else ""

    def attributes(self) -> Iterator[tuple[str, object]]:
        """Yield what its `__dict__` and slots would hold."""
        for state in self.states or ():
            if isinstance(state, PickledDict):
                yield from state.items()


@dataclass(frozen=True, slots=True, eq=False)
class PickledStorage:
    """Numbers by key, in a place that only the file's format knows.

    dtype: as torch names it. numel: of the whole. view: first element and number of elements, of a part.
    embedded: a file of its own that holds the storage; dtype and numel are then unknown here.
    """

    key: str
    dtype: str
    numel: int
    view: tuple[int, int] | None = None
    embedded: bytes | None = None

    @property
    def itemsize(self) -> int:
        return ITEMSIZE.get(self.dtype, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """Scale and zero point as saved: a number each, or a tensor or list with one an index of `axis`."""

    scale: object
    zero_point: object
    axis: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PickledTensor:
    """A strided view of a storage. offset and strides in elements of `dtype`; dtype None is the storage's.

    storage: None where the file holds no numbers for it, or not in a strided form.
    """

    storage: PickledStorage | None
    offset: int
    shape: tuple[object, ...]
    strides: tuple[object, ...]
    dtype: str | None
    quantizer: Quantizer | None = None


@dataclass(slots=True, eq=False)
class NumpyDType:
    """A NumPy dtype: `f4` and its byte order."""

    code: str
    byte_order: str = "<"


@dataclass(slots=True, eq=False)
class NumpyArray:
    """A NumPy array, whose bytes lie in the pickle itself; data None until its state came."""

    shape: tuple[object, ...] = ()
    dtype: NumpyDType | None = None
    fortran_order: bool = False
    data: object = None


def to_name(key: object) -> str | None:
    """Return a key as a name, fit for every encoding; None for what is no plain value, or too long for a name."""
    if isinstance(key, bytes | str) and len(key) > MAX_NAME_LENGTH:
        return None
    if isinstance(key, int) and abs(key) >= 1 << 64:
        return None
    if isinstance(key, bytes):
        try:
            return key.decode()
        except UnicodeDecodeError:
            return key.decode("latin-1")
    if isinstance(key, str):
        return key if key.isascii() else key.encode("utf-8", "backslashreplace").decode()
    if key is None or isinstance(key, int | float):
        return str(key)
    return None
