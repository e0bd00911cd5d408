"""What unpickling as data returns: containers, stubs of objects, and tensors that refer to storages."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from filtercrawl.api.errors import FormatError
from filtercrawl.api.range_file import FileSlice, RandomAccessFile, Span, check_range
from filtercrawl.api.tensor_location import ITEMSIZE
from filtercrawl_plugins.formats.budget import MAX_NAME_LENGTH


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A class or function by its name, which is never looked up."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """Full name: module and name."""
        return f"{self.module}.{self.name}"


class EncodedText:
    """Decodes text that stands for bytes in Latin-1, and keeps the last one: arrays are read in parts, one by one."""

    def __init__(self, file: RandomAccessFile) -> None:
        self.file = file
        self._last: tuple[int, bytes] = (-1, b"")

    def decode(self, start: int, length: int) -> bytes:
        """Return the bytes that `length` bytes of UTF-8 text stand for; raises FormatError if they stand for none."""
        place, data = self._last
        if place != start:
            try:
                data = self.file.read(start, length).decode("utf-8").encode("latin-1")
            except UnicodeError as error:
                raise FormatError(f"{self.file.name}: a string of its pickle is no binary data") from error
            self._last = (start, data)
        return data


@dataclass(frozen=True, slots=True, eq=False)
class PickledBytes:
    """A long string of the stream, which is located and not read.

    Attributes:
        file: The file of the stream.
        start: Offset of the first byte.
        length: Number of bytes in the file.
        text: Decodes the string if it is text; in protocols 0 to 2 text stands for bytes in Latin-1.
    """

    file: RandomAccessFile
    start: int
    length: int
    text: EncodedText | None = None

    def open(self, size: int) -> RandomAccessFile:
        """Return the bytes that the string stands for as a file, which must have `size` bytes."""
        return FileSlice(self.file, self.start, size) if self.text is None else _TextFile(self, self.text, size)


class _TextFile:
    """The bytes that a long text stands for."""

    def __init__(self, located: PickledBytes, text: EncodedText, size: int) -> None:
        self.name = located.file.name
        self.size = size
        self._located = located
        self._text = text

    def read(self, offset: int, length: int) -> bytes:
        check_range(self, offset, length)
        data = self._text.decode(self._located.start, self._located.length)
        if len(data) != self.size:
            raise FormatError(f"{self.name}: an array of its pickle has {len(data)} bytes, expected {self.size}")
        return data[offset : offset + length]

    def source_spans(self, start: int, stop: int) -> Iterator[Span]:
        """Yield all of the text, since a character has one or two bytes."""
        located = self._located
        if start < stop:
            yield Span(located.file, located.start, located.start + located.length)


@dataclass(slots=True, eq=False)
class PickledDict:
    """A dictionary as a list of pairs: keys are not hashed, so that no key can be unhashable or made to collide.

    Attributes:
        pairs: Keys and values in the order of the stream; keys may repeat.
        state: State that BUILD set on it, as for a subclass of dict.
    """

    pairs: list[tuple[object, object]] = field(default_factory=list)
    state: object = None
    # What `items` and `named` return, made once for all that share the dictionary.
    _items: Sequence[tuple[str, object]] | None = field(default=None, init=False, repr=False)
    _named: dict[str, object] | None = field(default=None, init=False, repr=False)

    def add(self, pairs: Iterable[tuple[object, object]]) -> None:
        """Append pairs."""
        self.pairs.extend(pairs)
        self._items = self._named = None

    def items(self) -> Sequence[tuple[str, object]]:
        """Return names and values like a dict: a repeated key keeps its first position and gets the last value.

        A key that cannot be a name (see `to_name`) is replaced by its position.
        """
        if self._items is None:
            items: dict[tuple[bool, str], object] = {}
            for index, (key, value) in enumerate(self.pairs):
                name = to_name(key)
                items[isinstance(key, int), str(index) if name is None else name] = value
            self._items = [(name, value) for (_, name), value in items.items()]
        return self._items

    def named(self) -> dict[str, object]:
        """Return the values by name."""
        if self._named is None:
            self._named = dict(self.items())
        return self._named


@dataclass(slots=True, eq=False)
class Stub:
    """An object that was not created: the call that would create it, and what the stream adds to it.

    Attributes:
        cls: What would be called; a `Global` in most cases.
        args: Positional arguments.
        states: State objects that BUILD would set; None if there are none.
        elements: List items; None if there are none.
        pairs: Dictionary items; None if there are none.
    """

    cls: object
    args: tuple[object, ...] = ()
    states: list[object] | None = None
    elements: list[object] | None = None
    pairs: PickledDict | None = None

    @property
    def path(self) -> str:
        """Full name of `cls`; empty if it is not a class by name."""
        return self.cls.path if isinstance(self.cls, Global) else ""

    def attributes(self) -> Mapping[str, object]:
        """Return the attributes that the object would have, from `__dict__` and slots."""
        held = [state.named() for state in self.states or () if isinstance(state, PickledDict)]
        return held[0] if len(held) == 1 else ChainMap(*reversed(held)) if held else {}


@dataclass(frozen=True, slots=True, eq=False)
class PickledStorage:
    """A torch storage by its key; the format of the file decides where its bytes lie.

    Attributes:
        key: Key of the storage in the file.
        dtype: Name of the torch dtype, such as `float32`.
        numel: Number of elements of the whole storage.
        view: (first element, number of elements) if this is a view of the storage.
        embedded: A complete torch file that contains the storage; dtype and numel are then empty and 0.
    """

    key: str
    dtype: str
    numel: int
    view: tuple[int, int] | None = None
    embedded: bytes | PickledBytes | None = None

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return ITEMSIZE.get(self.dtype, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Quantizer:
    """Quantization parameters as pickled.

    Attributes:
        scale: A number, or a list or tensor with one number per index of `axis`.
        zero_point: The same.
        axis: Axis of per-channel quantization.
    """

    scale: object
    zero_point: object
    axis: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PickledTensor:
    """A torch tensor: a strided view of a storage. Its values are unchecked.

    Attributes:
        storage: None if the file has no numbers for it (meta tensors), or not as a strided array (sparse tensors).
        offset: Offset of the first element, in elements.
        shape: Sizes.
        strides: Strides in elements.
        dtype: Name of the torch dtype; None if it is that of the storage.
        quantizer: Quantization parameters of a quantized tensor.
        negated: Whether the value is the negative of what is stored (a lazy negation).
        whole_shape: Sizes of the tensor that this is a part of, as of a sharded one; None for a whole tensor.
    """

    storage: PickledStorage | None
    offset: int
    shape: tuple[object, ...]
    strides: tuple[object, ...]
    dtype: str | None
    quantizer: Quantizer | None = None
    negated: bool = False
    whole_shape: tuple[object, ...] | None = None


@dataclass(slots=True, eq=False)
class NumpyDType:
    """A NumPy dtype: its type code, such as `f4`, and its byte order."""

    code: str
    byte_order: str = "<"


@dataclass(slots=True, eq=False)
class NumpyArray:
    """A NumPy array, whose bytes are part of the pickle; `data` is None until BUILD sets its state.

    Long `data` are a `PickledBytes`.
    """

    shape: tuple[object, ...] = ()
    dtype: NumpyDType | None = None
    fortran_order: bool = False
    data: object = None


def to_name(key: object) -> str | None:
    """Return a dictionary key or a name as text that can be encoded in UTF-8.

    Returns:
        None for anything but strings, bytes, numbers and None, and for a name longer than `MAX_NAME_LENGTH`.
    """
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
