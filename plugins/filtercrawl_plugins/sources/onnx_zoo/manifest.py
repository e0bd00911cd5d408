"""Parse the manifest of the ONNX zoo: a JSON list of models with paths, hashes and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin

from filtercrawl.api.checkpoint import Checkpoint, CheckpointMetadata, Offer, RemoteFile, Skipped
from filtercrawl.api.errors import NetworkError, UnsafeFileError
from filtercrawl.api.range_file import relative_path
from filtercrawl.config.urls import redact_url
from filtercrawl_plugins.metadata.onnx_zoo import license_with_evidence, model_folder
from filtercrawl_plugins.metadata.visual_categories import visual_category

# Folder of all models in the manifest; their names omit it.
_TOP_FOLDER: Final = "validated/"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PRECISION: Final = re.compile(r"-(int8|qdq)\.onnx$")
# Characters of a string that is kept.
_MAX_LENGTH: Final = 200


def read_manifest(manifest: Any, url: str, categories: Mapping[str, str]) -> Iterator[Offer]:
    """Yield one checkpoint per entry, in order; an invalid entry is skipped with a reason.

    Args:
        manifest: The parsed JSON.
        url: Its URL, to which the paths of the models are relative.
        categories: Visual category by dataset, from the user's settings.

    Raises:
        NetworkError: The JSON is not a list, or no entry has the path of a model: the format is another one.
    """
    if not isinstance(manifest, list):
        raise NetworkError(f"{redact_url(url)}: no manifest of the ONNX zoo: expected a JSON list of models")
    if manifest and not any(isinstance(entry, dict) and "model_path" in entry for entry in manifest):
        raise NetworkError(f"{redact_url(url)}: no manifest of the ONNX zoo: no entry has a model_path")
    for number, entry in enumerate(manifest):
        fields = entry if isinstance(entry, dict) else {}
        path = _valid_path(fields.get("model_path"))
        if path is None:
            yield Skipped(name=f"manifest/{number}", reason="model_path in the manifest is not a plain relative path")
        else:
            yield _make_offer(path, fields, url, categories)


def _make_offer(path: str, entry: Mapping[str, Any], url: str, categories: Mapping[str, str]) -> Offer:
    name = path.removeprefix(_TOP_FOLDER)
    metadata = entry.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    digest, size = metadata.get("model_sha"), metadata.get("model_bytes")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        return Skipped(name=name, reason="the manifest states no sha256")
    file = RemoteFile(
        url=urljoin(url, quote(path)),
        size=_positive_int(size),
        sha256=digest,
        path=path.rpartition("/")[2],
    )
    aliases = () if name == path else (path,)
    meta = _checkpoint_metadata(name, entry, metadata, categories)
    return Checkpoint(name=name, revision=digest, files=(file,), aliases=aliases, meta=meta)


def _checkpoint_metadata(
    name: str, entry: Mapping[str, Any], metadata: Mapping[str, Any], categories: Mapping[str, str]
) -> CheckpointMetadata:
    folder = model_folder(name)
    license_, evidence = license_with_evidence(name)
    precision = _PRECISION.search(name)
    tags = metadata.get("tags")
    extra = {
        "opset": _positive_int(entry.get("opset_version")),
        "precision": precision[1] if precision else None,
        "tags": [text for tag in tags if (text := _valid_text(tag))] if isinstance(tags, list) else None,
    }
    return CheckpointMetadata(
        task=folder.task,
        training_datasets=folder.datasets,
        visual_category=visual_category(folder.datasets, categories),
        architecture=_valid_text(entry.get("model")),
        family=folder.family,
        library="onnx",
        license=license_,
        license_evidence=evidence,
        extra={key: value for key, value in extra.items() if value is not None},
    )


def _valid_path(value: Any) -> str | None:
    """Return a normalized relative path of printable text, None for anything else."""
    text = _valid_text(value)
    try:
        return text if text is not None and str(relative_path(text)) == text and text != "." else None
    except UnsafeFileError:
        return None


def _valid_text(value: Any) -> str | None:
    valid = isinstance(value, str) and 0 < len(value) <= _MAX_LENGTH and value.isprintable()
    return value if valid else None


def _positive_int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
