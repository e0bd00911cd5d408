"""Xet for the Hub stand-in: the client uploads its chunks into a folder, and files are put together from there."""

from __future__ import annotations

import hashlib
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from support.hub.types import Answer

_RECORD = 48
_END = b"\xff" * 32
_VERIFIED, _DESCRIBED = 1 << 31, 1 << 30


def token(folder: Path) -> Answer:
    """Tell the client where to put chunks: no server of its own is needed."""
    facts = {"accessToken": "xet", "exp": int(time.time()) + 3600, "casUrl": f"local://{folder}"}
    headers = {
        "X-Xet-Cas-Url": facts["casUrl"],
        "X-Xet-Access-Token": "xet",
        "X-Xet-Token-Expiration": str(facts["exp"]),
    }
    return Answer.json(facts, **headers)


def take(folder: Path, blobs: dict[str, bytes]) -> None:
    """Put the files together that were uploaded, by their sha256: the client's own code reads its chunks back."""
    import hf_xet

    known = {sha: found for path in folder.rglob("xorbs/shards/*.mdb") for sha, found in _files(path.read_bytes())}
    wanted = {sha: found for sha, found in known.items() if sha not in blobs}
    if not wanted:
        return
    with TemporaryDirectory() as copy:  # whoever uploads holds the folder's lock
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        group = hf_xet.XetSession().new_download_stream_group(endpoint=f"local://{copy}")
        for sha, (name, size) in wanted.items():
            data = b"".join(bytes(piece) for piece in group.download_stream(hf_xet.XetFileInfo(name, size)))
            assert hashlib.sha256(data).hexdigest() == sha
            blobs[sha] = data


def stored(folder: Path) -> int:
    """Bytes of the chunks that were uploaded: what is there already is not sent again."""
    return sum(path.stat().st_size for path in folder.rglob("xorbs/xorbs/default.*") if path.suffix != ".tagset")


def _files(shard: bytes) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield sha256, Xet hash and size of the files of a shard, records of 48 bytes behind a header of 48."""
    at = _RECORD
    while (name := shard[at : at + 32]) != _END:
        flags, segments = struct.unpack_from("<II", shard, at + 32)
        at += _RECORD
        sizes = (struct.unpack_from("<I", shard, at + n * _RECORD + 36)[0] for n in range(segments))
        size = sum(sizes)
        at += _RECORD * segments * (2 if flags & _VERIFIED else 1)
        if flags & _DESCRIBED:
            yield _hex(shard[at : at + 32]), (_hex(name), size)
            at += _RECORD


def _hex(name: bytes) -> str:
    """A hash as people write it: four numbers, each little-endian."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", name))
