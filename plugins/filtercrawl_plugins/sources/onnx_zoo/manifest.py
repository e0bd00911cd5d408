"""Reads the manifest of the ONNX zoo: a list of models with their paths, hashes and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import NetworkError, UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl.config.urls import redact_url
from filtercrawl_plugins.metadata.onnx_zoo import model_folder
from filtercrawl_plugins.metadata.visual_categories import visual_category

# The folder of all that the manifest names; names are shorter without it.
_TOP: Final = "validated/"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PRECISION: Final = re.compile(r"-(int8|qdq)\.onnx$")
_LONGEST: Final = 200


def read_manifest(manifest: Any, url: str, categories: Mapping[str, str]) -> Iterator[Offer]:
    """Yield a checkpoint an entry, in order; an entry that makes no sense is skipped with the reason.

    manifest: the JSON at `url`, beside which the models lie. categories: dataset -> visual category, the user's own.
    Raises NetworkError for JSON that is no manifest at all.
    """
    if not isinstance(manifest, list):
        raise NetworkError(f"{redact_url(url)}: no manifest of the ONNX zoo, which is a list of models")
    for number, entry in enumerate(manifest):
        fields = entry if isinstance(entry, dict) else {}
        path = _path(fields.get("model_path"))
        if path is None:
            yield Skipped(name=f"manifest/{number}", reason="the manifest's path is no plain relative one")
        else:
            yield _offer(path, fields, url, categories)


def _offer(path: str, entry: Mapping[str, Any], url: str, categories: Mapping[str, str]) -> Offer:
    name = path.removeprefix(_TOP)
    stated = entry.get("metadata")
    facts = stated if isinstance(stated, dict) else {}
    digest, size = facts.get("model_sha"), facts.get("model_bytes")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        return Skipped(name=name, reason="the manifest states no sha256")
    file = RemoteFile(
        url=urljoin(url, quote(path)),
        size=_number(size),
        sha256=digest,
        path=path.rpartition("/")[2],
    )
    aliases = () if name == path else (path,)
    meta = _meta(name, entry, facts, categories)
    return Checkpoint(name=name, revision=digest, files=(file,), aliases=aliases, meta=meta)


def _meta(
    name: str, entry: Mapping[str, Any], facts: Mapping[str, Any], categories: Mapping[str, str]
) -> CheckpointMetadata:
    known = model_folder(name)
    precision = _PRECISION.search(name)
    tags = facts.get("tags")
    extra = {
        "opset": _number(entry.get("opset_version")),
        "precision": precision[1] if precision else None,
        "tags": [text for tag in tags if (text := _text(tag))] if isinstance(tags, list) else None,
    }
    return CheckpointMetadata(
        task=known.task,
        training_datasets=known.datasets,
        visual_category=visual_category(known.datasets, categories),
        architecture=_text(entry.get("model")),
        family=known.family,
        library="onnx",
        extra={key: value for key, value in extra.items() if value is not None},
    )


def _path(stated: Any) -> str | None:
    """Return a path that stays below the manifest's folder and can be a name, None for any other."""
    text = _text(stated)
    try:
        return text if text is not None and str(relative_path(text)) == text and text != "." else None
    except UnsafeFileError:
        return None


def _text(stated: Any) -> str | None:
    sound = isinstance(stated, str) and 0 < len(stated) <= _LONGEST and stated.isprintable()
    return stated if sound else None


def _number(stated: Any) -> int | None:
    return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else None
