"""Check records of a source against their types and vocabularies; pure functions."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped, TrainingRun
from filtercrawl.api.licenses import to_spdx
from filtercrawl.api.vocabulary import TASKS
from filtercrawl.testing.finding import Violation

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# Tokens by their look, and where an address holds a password.
_TOKENS: Final = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})|://[^/@\s]+:[^/@\s]+@"
)
_SECRET_VARIABLE: Final = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.IGNORECASE)


def types(offers: Sequence[Offer]) -> Iterator[Violation]:
    """Every field has the type that the record declares."""
    for offer in offers:
        for where, value, kind in _fields(offer):
            if not _fits(value, kind):
                yield (
                    f"{_name(offer)}: {where} is {value!r:.80}, which is not of type {kind}",
                    "use the type that filtercrawl.api.checkpoint declares, and None for unknown values",
                )


def vocabulary(offers: Sequence[Offer]) -> Iterator[Violation]:
    """Tasks, licenses and dates follow the common vocabularies."""
    for offer in offers:
        if not isinstance(offer, Checkpoint) or not isinstance(offer.meta, CheckpointMetadata):
            continue
        meta = offer.meta
        for where, value, sound, advice in (
            ("task", meta.task, lambda text: text in TASKS, "use a task of the Hub, such as image-classification"),
            (
                "license",
                meta.license,
                lambda text: to_spdx(text) is not None,
                "write an SPDX expression, such as MIT, or None: `filtercrawl.api.to_spdx` tells which",
            ),
            ("released", meta.released, _is_date, "write an ISO 8601 date, such as 2024-05-31"),
        ):
            if isinstance(value, str) and not sound(value):
                yield (f"{offer.name}: {where} is {value!r:.80}", advice)


def names(offers: Sequence[Offer]) -> Iterator[Violation]:
    """Names can be ids and paths, and no two of them mean the same."""
    meant: dict[str, str] = {}
    for offer in offers:
        name = offer.name if isinstance(offer.name, str) else ""
        if not name.isprintable() or "#" in name or "\\" in name or {"", ".", ".."} & set(name.split("/")):
            yield (
                f"the name {offer.name!r:.80} is not a plain relative path",
                "offer printable names without '#', '\\', empty parts, '.' and '..'",
            )
            continue
        path = str(PurePosixPath(unicodedata.normalize("NFC", unquote(name))))
        if path not in meant:
            meant[path] = name
        elif meant[path] == name:
            yield (
                f"two checkpoints are named {name!r}",
                "a name is an id: include what distinguishes them, or make one an alias of the other",
            )
        else:
            yield (
                f"{meant[path]!r} and {name!r} have the same path {path!r}",
                "rename one of them permanently: file systems cannot distinguish them",
            )


def tokens(offers: Sequence[Offer], secret: str) -> Iterator[Violation]:
    """No field repeats a token."""
    known = {secret, *(value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name) and len(value) > 7)}
    for offer in offers:
        text = repr(offer)
        if any(token in text for token in known) or _TOKENS.search(text):
            yield (
                f"{_name(offer)}: one of its fields contains a token",
                'leave tokens to the transport, by [auth."ORIGIN"] of the settings, and never read them',
            )


def _name(offer: Offer) -> str:
    return str(getattr(offer, "name", offer))[:80]


def _fields(offer: object) -> Iterator[tuple[str, object, str]]:
    """Yield `(where, value, type)` of all fields, including those of files and metadata."""
    if not isinstance(offer, Checkpoint | Skipped):
        yield "the offer", offer, "Checkpoint or Skipped"
        return
    records: list[tuple[str, Any]] = [("", offer)]
    if isinstance(offer, Checkpoint):
        records += [(f"files[{i}].", file) for i, file in enumerate(offer.files) if isinstance(file, RemoteFile)]
        records += [("meta.", offer.meta)] if isinstance(offer.meta, CheckpointMetadata) else []
        records += [("run.", offer.run)] if isinstance(offer.run, TrainingRun) else []
    for prefix, record in records:
        for declared in fields(record):
            yield f"{prefix}{declared.name}", getattr(record, declared.name), str(declared.type)


def _fits(value: object, kind: str) -> bool:
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    tests = {
        "str": lambda: isinstance(value, str),
        "int": lambda: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "bool": lambda: isinstance(value, bool),
        "tuple[str, ...]": lambda: isinstance(value, tuple) and all(isinstance(item, str) for item in value),
        "tuple[RemoteFile, ...]": lambda: isinstance(value, tuple) and bool(value) and all(map(_is_file, value)),
        "Mapping[str, Any]": lambda: _is_json(value),
        "CheckpointMetadata": lambda: isinstance(value, CheckpointMetadata),
        "TrainingRun": lambda: isinstance(value, TrainingRun),
    }
    return kind in tests and tests[kind]()


def _is_file(value: object) -> bool:
    if not isinstance(value, RemoteFile) or not isinstance(value.url, str):
        return False
    sound = urlsplit(value.url).scheme in ("file", "http", "https")
    digest = value.sha256 is None or (isinstance(value.sha256, str) and bool(_SHA256.fullmatch(value.sha256)))
    path = value.path is None or (
        isinstance(value.path, str) and not value.path.startswith("/") and ".." not in value.path.split("/")
    )
    return sound and digest and path


def _is_json(value: object) -> bool:
    try:
        return isinstance(json.loads(json.dumps(value, allow_nan=False)), dict)
    except (TypeError, ValueError):
        return False


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return len(text) == 10 or text[10:11] == "T"
