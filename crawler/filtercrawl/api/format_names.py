"""Names of file formats that no reader reads, by first bytes and by extension, for messages about such files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from filtercrawl.api.range_file import RandomAccessFile

# Formats of weights without a reader by extension, as their authors spell them.
FORMATS_WITHOUT_READER: Final = {
    ".caffemodel": "Caffe", ".data-00000-of-00001": "TensorFlow", ".engine": "TensorRT", ".ggml": "GGML",
    ".gguf": "GGUF", ".mlmodel": "Core ML", ".ot": "LibTorch", ".params": "MXNet", ".pb": "TensorFlow",
    ".pdiparams": "Paddle Inference", ".pte": "ExecuTorch", ".rknn": "RKNN", ".t7": "Torch7",
    ".weights": "Darknet",
}  # fmt: skip
# Bytes of the length of a safetensors header, at the beginning of the file.
_LENGTH_BYTES: Final = 8
# Bytes of a file that its format is told from.
HEAD_BYTES: Final = 512

# (offset, bytes, name of the format)
_SIGNATURES: Final = (
    (0, b"GGUF", "a GGUF file"),
    (0, b"lmgg", "a GGML file"),
    (0, b"tjgg", "a GGML file"),
    (4, b"TFL3", "a TFLite file"),
    (4, b"ET1", "an ExecuTorch program"),
    (64, b"\xef\xbe\xad\xde", "a weight file of Core ML"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a single NumPy array"),
    (0, b"\4\0\0\0\1\0\0\0\3\0\0\0V ", "a Torch7 file"),
    (0, b"\x12\x01\0\0\0\0\0\0", "an MXNet parameter file"),
    (0, b"ptrt", "a TensorRT engine"),
    (0, b"ftrt", "a TensorRT engine"),
    (0, b"RKNN", "an RKNN model"),
    (0, b"7767517\n", "the network description of ncnn"),
    (0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file that it points to"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x1f\x8b", "compressed by gzip"),
    (0, b"BZh", "compressed by bzip2"),
    (0, b"\xfd7zXZ\0", "compressed by xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (0, b"\x04\x22\x4d\x18", "compressed by LZ4"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"PK\3\4", "a zip archive of no known kind"),
    (0, b"\x80\2", "a pickle without arrays at its beginning"),
    (0, b"\x80\3", "a pickle without arrays at its beginning"),
    (0, b"\x80\4", "a pickle without arrays at its beginning"),
    (0, b"\x80\5", "a pickle without arrays at its beginning"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)
# Beginnings of formats without a signature: messages of protobuf, and a tensor of Paddle.
_BEGINNINGS: Final = (
    (rb"\x08[\x01-\x20]\x12[\x80-\xff]*[\x00-\x7f]\n[\x80-\xff]*[\x00-\x7f]\n[\x01-\x7f][ -~]", "a Core ML model"),
    (rb"\x08\x01\x12[\x80-\xff]*[\x00-\x7f]\n[\x80-\xff]*[\x00-\x7f]\x12", "a SavedModel of TensorFlow"),
    (rb"\n[\x80-\xff]*[\x00-\x7f]\n[\x01-\x7f][ -~]+\x12[\x01-\x7f](?:Placeholder|Const)", "a graph of TensorFlow"),
    (rb"\x00{16}[\x01-\xff]\x00{3}\x08[\x00-\x7f]\x10", "the parameters of a Paddle Inference model"),
)
# Text, after white space and in lower case.
_TEXTS: Final = (
    (b"<!doctype html", "an HTML page, not a file of weights"),
    (b"<html", "an HTML page, not a file of weights"),
    (b"<?xml", "an XML document"),
    (b"<net ", "the network description of OpenVINO"),
    (b'{"error"', "the text of a server's error, not a file of weights"),
    (b"{", "a JSON document"),
)
# The whole body of an answer without the file: a status of HTTP, or one of the sentences of model hubs.
_ERROR_MESSAGE: Final = re.compile(
    rb"(error:? )?((http )?[45]\d\d:? [a-z]|((entry|file|repository|revision) )?not found\b|access denied\b|forbidden\b"
    rb"|access to \w+ [\w/.-]+ is restricted\b|unauthorized\b|bad gateway\b|invalid (username|credentials)\b)[ -~\s]*"
)


def format_name(file: RandomAccessFile) -> str | None:
    """Return what a file is by its first bytes, or else by its extension, as the rest of a sentence.

    Returns:
        None if both are of no known format.

    Raises:
        CheckpointError: The file cannot be read.
    """
    if file.size == 0:
        return "empty"
    head = file.read(0, min(HEAD_BYTES, file.size))
    for offset, signature, name in _SIGNATURES:
        if head.startswith(signature, offset):
            return name
    for beginning, name in _BEGINNINGS:
        if re.match(beginning, head, re.DOTALL):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<?xml") and b"<net " in text:
        return "the network description of OpenVINO"
    if text.startswith(b"<?xml") and b"<error>" in text:
        return "an XML error message of a server, not a file of weights"
    if file.size <= HEAD_BYTES and _ERROR_MESSAGE.fullmatch(text):
        return "the text of a server's error, not a file of weights"
    by_text = next((name for signature, name in _TEXTS if text.startswith(signature)), None)
    if not by_text and file.name.lower().endswith(".safetensors") and file.size >= _LENGTH_BYTES:
        claimed = int.from_bytes(head[:_LENGTH_BYTES], "little")
        is_beyond = claimed > file.size - _LENGTH_BYTES
        how = f"its header claims {claimed} bytes, the file has {file.size}" if is_beyond else "it has no valid header"
        return f"a damaged safetensors file: {how}"
    by_extension = FORMATS_WITHOUT_READER.get(PurePosixPath(file.name).suffix.lower())
    return by_text or (None if by_extension is None else f"by its name one of {by_extension}")
