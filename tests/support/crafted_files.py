"""Safetensors and ONNX files with chosen headers, for tests of malformed input."""

from __future__ import annotations

import json
import struct

from support.onnx_models import model, node, random_array, tensor


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def external(location: str) -> bytes:
    """A network whose one weight lies in another file."""
    net = model([node("Conv", ["x", "w"], "y")], [tensor("w", random_array(4, 3, 3, 3))])
    weight = net.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = weight.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return bytes(net.SerializeToString())
