"""Files that begin like one model of CNN Filter DB, with a header that anybody may have written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from filtercrawl.api.errors import CheckpointError
from filtercrawl.api.range_file import MemoryFile
from filtercrawl.api.reader import read_content
from filtercrawl_plugins.cnn_filter_db.model_file import LENGTH_BYTES, MAGIC
from filtercrawl_plugins.cnn_filter_db.reader import CnnFilterDbReader
from support.torch_files import OneFile


def one_model(header: Any) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(LENGTH_BYTES, "little") + text + bytes(36)


def read(header: Any) -> list[tuple[int, ...]]:
    files = OneFile(MemoryFile(one_model(header), "x"))
    return [tensor.shape for tensor in read_content(CnnFilterDbReader(), files).tensors]


def test_a_sound_header_is_read() -> None:
    assert read({"dtype": "float32", "layers": [["Conv_0", 1, 0, 0.0]]}) == [(1, 1, 3, 3)]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff{}",
        b"[" * 100_000,
        [],
        {"dtype": "float32"},
        {"layers": []},
        {"dtype": "int8", "layers": []},
        {"dtype": [], "layers": []},
        {"dtype": "float32", "layers": {"a": 1}},
        *(
            {"dtype": "float32", "layers": [layer]}
            for layer in (
                "abcd",
                ["a", 1, 0],
                [1, 1, 0, 0.0],
                ["a", True, 0, 0.0],
                ["a", -1, 0, 0.0],
                ["a", 1.5, 0, 0.0],
                ["a", 2**62, 0, 0.0],
                ["a", 2, 0, 0.0],
                ["a", 1, "0", 0.0],
                ["a", 1, 0, "0"],
                ["a", 1, -3, 0.0],
                ["a" * 5000, 1, 0, 0.0],
            )
        ),
    ],
)
def test_other_headers_end_in_a_line(header: Any) -> None:
    with pytest.raises(CheckpointError, match=r"^x: ") as caught:
        read(header)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
