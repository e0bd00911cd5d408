"""Flax checkpoints, written without Flax."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np


def packed(value: Any, dtype: str | None = None) -> bytes:
    """Write a tree as `flax.serialization.msgpack_serialize` does."""

    def encode(leaf: Any) -> msgpack.ExtType:
        content = msgpack.packb((leaf.shape, dtype or leaf.dtype.name, leaf.tobytes()), use_bin_type=True)
        return msgpack.ExtType(1 if isinstance(leaf, np.ndarray) else 3, content)

    return bytes(msgpack.packb(value, default=encode, strict_types=True))
