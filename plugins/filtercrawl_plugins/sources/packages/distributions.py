"""Installed Python distributions: what their RECORD and METADATA say."""

from __future__ import annotations

import base64
import binascii
import csv
import importlib.metadata
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name

from filtercrawl.api.errors import UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl_plugins.sources.shared.untrusted_text import is_safe_name

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class RecordedFile:
    """A line of RECORD. path: POSIX, below the distribution's folder; sha256: lower-case hex; size: bytes."""

    path: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A distribution as installed.

    name: normalised. folder: where the paths of its RECORD start. record: None where it lists no files, or
    only those that point at the sources of an editable install.
    """

    name: str
    version: str | None
    folder: Path
    metadata: Message
    record: str | None

    def files(self) -> Iterator[RecordedFile]:
        """Yield the files of RECORD below the folder, each once; lines outside are passed over."""
        seen: set[str] = set()
        try:
            for row in csv.reader(io.StringIO(self.record or "", newline="")):
                path, hashed, size = (*row, "", "", "")[:3]
                if path not in seen and _stays(path):
                    seen.add(path)
                    yield RecordedFile(path=path, sha256=_sha256(hashed), size=_size(size))
        except csv.Error:  # the rest of a broken RECORD names nothing that could be checked
            return


def installed_distributions(path: Sequence[str] | None = None) -> list[Distribution]:
    """Return the installed distributions, sorted by name, each once: the first found is the one in use.

    path: folders to look in, by default those of `sys.path`.
    """
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions(path=list(sys.path if path is None else path)):
        metadata = HeaderParser().parsestr(_text(distribution, "METADATA") or "")
        name = str(metadata.get("Name", ""))
        if _NAME.fullmatch(name):
            found.setdefault(canonicalize_name(name), _distribution(distribution, metadata))
    return [found[name] for name in sorted(found)]


def _distribution(found: importlib.metadata.Distribution, metadata: Message) -> Distribution:
    folder = found.locate_file("")
    # Inside a zip archive there are no files to open.
    listed = isinstance(folder, Path) and not _is_editable(found)
    return Distribution(
        name=canonicalize_name(str(metadata["Name"])),
        version=str(metadata["Version"]) if "Version" in metadata else None,
        folder=Path(str(folder)).absolute(),
        metadata=metadata,
        record=_text(found, "RECORD") if listed else None,
    )


def _text(found: importlib.metadata.Distribution, name: str) -> str | None:
    try:
        return found.read_text(name)
    except (OSError, UnicodeDecodeError):
        return None


def _is_editable(found: importlib.metadata.Distribution) -> bool:
    try:
        origin = json.loads(_text(found, "direct_url.json") or "{}")
    except ValueError:
        return False
    folder = origin.get("dir_info") if isinstance(origin, dict) else None
    return isinstance(folder, dict) and folder.get("editable") is True


def _stays(path: str) -> bool:
    try:
        return path != "." and is_safe_name(path) and relative_path(path).as_posix() == path
    except UnsafeFileError:
        return False


def _sha256(hashed: str) -> str | None:
    """Turn `sha256=` and unpadded urlsafe base64 into hex; None for anything else."""
    method, _, encoded = hashed.partition("=")
    try:
        digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return digest.hex() if method == "sha256" and len(digest) == 32 else None


def _size(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
