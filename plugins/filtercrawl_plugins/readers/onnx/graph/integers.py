"""Integers of attributes: few are settings, many are the numbers of a tensor and take eight bytes each."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from filtercrawl_plugins.formats.protobuf import ByteRange, Field, WireReader, count_varints, decode_varints

Integers = NDArray[np.int64]
NO_INTEGERS: Final[Integers] = np.zeros(0, np.int64)
# Bytes of a packed field that are decoded one by one; longer ones in chunks.
_MAX_SHORT: Final = 256
# Integers that are decoded in chunks in one step.
_PER_STEP: Final = 8


class IntegerParts:
    """The integers of one attribute, whose field may occur several times, packed or not."""

    def __init__(self, wire: WireReader) -> None:
        self._wire = wire
        self._short: list[int] = []
        self._parts: list[Integers] = []

    def add(self, field: Field) -> None:
        """Append the integers of a field."""
        size = field.end - field.start
        if size <= _MAX_SHORT:
            self._short.extend(self._wire.read_integers(field))
            return
        self._wire.charge(size // _PER_STEP)
        file, span = self._wire.file, ByteRange(field.start, field.end)
        part = np.zeros(count_varints(file, span), np.uint64)
        decode_varints(file, span, part)
        self._flush()
        self._parts.append(part.view(np.int64))

    def joined(self) -> Integers:
        """Return all integers."""
        if not self._parts:
            return np.array(self._short, np.int64) if self._short else NO_INTEGERS
        self._flush()
        return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)

    def _flush(self) -> None:
        if self._short:
            self._parts.append(np.array(self._short, np.int64))
            self._short = []
