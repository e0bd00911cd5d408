"""Installed Python distributions: their files from RECORD and their core metadata.

Format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

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
from filtercrawl.api.untrusted_names import is_safe_name

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class RecordedFile:
    """A line of RECORD.

    Attributes:
        path: POSIX path relative to the distribution's folder.
        sha256: Lower-case hexadecimal; None if RECORD has no sha256.
        size: Bytes; None if RECORD does not state it.
    """

    path: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """An installed distribution.

    Attributes:
        name: Normalized name (PEP 503).
        version: Version; None if METADATA does not state it.
        folder: Folder that the paths of RECORD are relative to, such as `site-packages`.
        metadata: Core metadata.
        record: Text of RECORD; None if there is none or if the install is editable.
    """

    name: str
    version: str | None
    folder: Path
    metadata: Message
    record: str | None

    def files(self) -> Iterator[RecordedFile]:
        """Yield the files of RECORD, each once, without those outside of the folder."""
        seen: set[str] = set()
        try:
            for row in csv.reader(io.StringIO(self.record or "", newline="")):
                path, hash_field, size = (*row, "", "", "")[:3]
                if path not in seen and _is_inside(path):
                    seen.add(path)
                    yield RecordedFile(path=path, sha256=_decode_sha256(hash_field), size=_parse_size(size))
        except csv.Error:  # the rest of a damaged RECORD cannot be parsed
            return


def installed_distributions(path: Sequence[str] | None = None) -> list[Distribution]:
    """Return the installed distributions, sorted by name; of several with one name, the one that Python imports.

    Args:
        path: Folders to search; those of `sys.path` by default.
    """
    found: dict[str, Distribution] = {}
    for distribution in importlib.metadata.distributions(path=list(sys.path if path is None else path)):
        metadata = HeaderParser().parsestr(_read_text(distribution, "METADATA") or "")
        name = str(metadata.get("Name", ""))
        if _NAME.fullmatch(name):
            found.setdefault(canonicalize_name(name), _distribution(distribution, metadata))
    return [found[name] for name in sorted(found)]


def _distribution(found: importlib.metadata.Distribution, metadata: Message) -> Distribution:
    folder = found.locate_file("")
    # A distribution inside a zip archive has no files that could be opened.
    has_files = isinstance(folder, Path) and not _is_editable(found)
    return Distribution(
        name=canonicalize_name(str(metadata["Name"])),
        version=str(metadata["Version"]) if "Version" in metadata else None,
        folder=Path(str(folder)).absolute(),
        metadata=metadata,
        record=_read_text(found, "RECORD") if has_files else None,
    )


def _read_text(found: importlib.metadata.Distribution, name: str) -> str | None:
    try:
        return found.read_text(name)
    except (OSError, UnicodeDecodeError):
        return None


def _is_editable(found: importlib.metadata.Distribution) -> bool:
    try:
        origin = json.loads(_read_text(found, "direct_url.json") or "{}")
    except ValueError:
        return False
    folder = origin.get("dir_info") if isinstance(origin, dict) else None
    return isinstance(folder, dict) and folder.get("editable") is True


def _is_inside(path: str) -> bool:
    """Return whether a path is normalized, printable and stays below the folder."""
    try:
        return path != "." and is_safe_name(path) and relative_path(path).as_posix() == path
    except UnsafeFileError:
        return False


def _decode_sha256(hash_field: str) -> str | None:
    """Convert `sha256=` and unpadded URL-safe base64 to hexadecimal; None for anything else."""
    method, _, encoded = hash_field.partition("=")
    try:
        digest = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return digest.hex() if method == "sha256" and len(digest) == 32 else None


def _parse_size(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
