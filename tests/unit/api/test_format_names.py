"""Files that no reader reads are named by their first bytes."""

from __future__ import annotations

import pytest

from filtercrawl.api.format_names import format_name
from filtercrawl.api.range_file import MemoryFile


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GGUF\3\0\0\0", "a GGUF file"),
        (b"\x30\0\0\0ET12" + bytes(40), "an ExecuTorch program"),
        (b"\2\0\0\0\2\0\0\0" + bytes(56) + b"\xef\xbe\xad\xde", "a weight file of Core ML"),
        (b"\x08\6\x12\xda\1\n\x18\n\7input_2\x1a\r*\v", "a Core ML model"),
        (b"\x08\1\x12\xe6\x95\x42\n\xc8\x24\x12\x9e\x24\n\x42", "a SavedModel of TensorFlow"),
        (b"\n\x3c\n\5input\x12\x0bPlaceholder*\v", "a graph of TensorFlow"),
        (bytes(16) + b"\6\0\0\0\x08\5\x10\x10\x10\x03", "the parameters of a Paddle Inference model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
         "a Git LFS pointer, not the file that it points to"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "an HTML page, not a file of weights"),
        (b'<?xml version="1.0"?>\n<net name="m" version="11">', "the network description of OpenVINO"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>",
         "an XML error message of a server, not a file of weights"),
        (b"Entry not found", "the text of a server's error, not a file of weights"),
        (b"404: Not Found\n", "the text of a server's error, not a file of weights"),
        (b"Access to model org/net is restricted. You must have access to it.",
         "the text of a server's error, not a file of weights"),
        (b'{"error":"Repository not found"}', "the text of a server's error, not a file of weights"),
        (b"not found\0\x80\x3f", None),
        (b"404 1 2 3\n", None),
        (b"404 not found" * 60, None),
        (b"conv1 not found in the graph", None),
        (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\x12\0\0\0nn.Sequential", "a Torch7 file"),
        (b"x" * 257 + b"ustar", "a tar archive"),
        (b"\0\0\0\0" + bytes(600), None),
        (b"G", None),
    ],
)  # fmt: skip
def test_names(data: bytes, name: str | None) -> None:
    assert format_name(MemoryFile(data)) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("net/variables/variables.data-00000-of-00001", "by its name one of TensorFlow"),
        ("yolo.WEIGHTS", "by its name one of Darknet"),
        ("net.t7", "by its name one of Torch7"),
        ("net.bin", None),
        ("a.safetensors", "a damaged safetensors file: it has no valid header"),
    ],
)
def test_bytes_of_no_known_format_are_named_by_the_extension(path: str, name: str | None) -> None:
    assert format_name(MemoryFile(bytes(600), path)) == name


def test_an_impossible_length_of_a_safetensors_header_is_told() -> None:
    file = MemoryFile(b"\xff" * 8 + b"{}" + bytes(54), "net.safetensors")
    claimed = (1 << 64) - 1
    assert format_name(file) == f"a damaged safetensors file: its header claims {claimed} bytes, the file has 64"
