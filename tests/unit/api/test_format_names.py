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
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
         "a Git LFS pointer, not the file that it points to"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "an HTML page, not a file of weights"),
        (b'<?xml version="1.0"?>\n<net name="m" version="11">', "the network description of OpenVINO"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>",
         "an XML error message of a server, not a file of weights"),
        (b"x" * 257 + b"ustar", "a tar archive"),
        (b"\0\0\0\0" + bytes(600), None),
        (b"G", None),
    ],
)  # fmt: skip
def test_names(data: bytes, name: str | None) -> None:
    assert format_name(MemoryFile(data)) == name
