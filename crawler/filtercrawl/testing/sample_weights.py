"""The bytes of a small checkpoint, in a format that every installation reads."""

from __future__ import annotations

import json
from typing import Final

import numpy as np

_SHAPES: Final = {
    "stem.weight": (4, 3, 3, 3),
    "stem.bias": (4,),
    "mix.weight": (4, 4, 1, 1),
    "deep.weight": (4, 1, 5, 5),
    "head.weight": (2, 4),
}
# What of them is emitted by default.
LAYERS: Final = 2


def sample_weights(seed: int = 0) -> bytes:
    """Return a safetensors file with a 3x3 and a depthwise 5x5 layer, float32; the seed determines its content."""
    generator = np.random.default_rng(seed)
    header: dict[str, object] = {}
    body = b""
    for name, shape in _SHAPES.items():
        data = generator.standard_normal(shape).astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
