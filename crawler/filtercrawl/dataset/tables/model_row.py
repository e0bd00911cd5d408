"""Rows of `models`: how one is made, and what it says about a checkpoint's content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from filtercrawl.api.checkpoint import Checkpoint, combined_etag
from filtercrawl.config.license_policy import METADATA
from filtercrawl.config.urls import redact_url
from filtercrawl.dataset.schema.arrow import MODELS
from filtercrawl.dataset.schema.rows import Row
from filtercrawl.dataset.schema.validation import storable
from filtercrawl.dataset.schema.version_order import release_order

_STATED: Final = (
    "task",
    "visual_category",
    "architecture",
    "family",
    "tag",
    "library",
    "license",
    "license_evidence",
    "paper",
    "released",
)
# What is published with the next change only: an address that is given out anew, the source's own notes.
_QUIET: Final = ("url", "extra")
# Said of a checkpoint whose bytes are to be read once more, whatever its source says of them.
UNREAD: Final[Row] = {"file_sha256": None, "_tried": {"revision": None, "etag": None}, "_version": None}


def source_columns(checkpoint: Checkpoint) -> Row:
    """Return the columns that the source states of a checkpoint, which may change while its bytes stay."""
    meta, url = checkpoint.meta, checkpoint.files[0].url
    row: Row = {name: getattr(meta, name) for name in _STATED}
    row["training_datasets"] = list(meta.training_datasets) or None
    for name in ("metrics", "extra"):
        row[name] = json.dumps(getattr(meta, name), sort_keys=True) if getattr(meta, name) else None
    row["url"] = None if url.startswith("file:") else redact_url(url)  # never a path of this machine
    return storable(row)


def source_columns_changed(known: Mapping[str, Any], checkpoint: Checkpoint) -> bool:
    """Tell whether the source states something else than before that readers should know without delay."""
    return any(known.get(name) != value for name, value in source_columns(checkpoint).items() if name not in _QUIET)


def known_key(known: Mapping[str, Any]) -> ContentKey:
    return known["file_sha256"] or "", known.get("_prefix") or "", known["kernel_policy"] or ""


def fingerprint(rows: Sequence[Row]) -> str | None:
    """Digest the multiset of (kernel size, layer_sha256) of the emitted layers; None where there are none."""
    lines = sorted(f"{row['kernel']} {row['layer_sha256']}\n" for row in rows if row["layer_sha256"] is not None)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def kernel_counts(rows: Sequence[Row]) -> dict[str, int]:
    """Count the layers and kernels that are emitted."""
    emitted = [row for row in rows if row["layer_sha256"] is not None]
    return {
        "n_layers": len(emitted),
        "n_kernels": sum(row["n_kernels"] for row in emitted),
        "n_kernels_3x3": sum(row["n_kernels"] for row in emitted if row["kernel"] == "3x3"),
    }


def rebase_layer_row(row: Row, model_id: str, source: str) -> Row:
    """Give a layer of another checkpoint with the same file this one's ids."""
    layer_id = f"{model_id}#{row['tensor']}" + ("" if row["bank_index"] is None else f"@{row['bank_index']}")
    return row | {"model_id": model_id, "source": source, "layer_id": layer_id, "row_id": f"{layer_id}#part0"}


def ownership_key(record: Mapping[str, Any]) -> tuple[str, str]:
    """The order of claims to the weights of a shared content: earliest release, then smallest model_id."""
    return release_order(record["first_release"]), record["model_id"]


def outcome(record: Mapping[str, Any]) -> str:
    """What the stored content of a checkpoint says it is."""
    if record["layers_file"] is not None:
        return "emitted"
    if record["duplicate_of"] is not None:
        return "duplicate"
    return "no_kernels" if has_weights(record) else "emitted"


def clear_content(record: Mapping[str, Any]) -> Row:
    """A record without the content that it told of."""
    empty = {name: None for name in MODELS.names if name.startswith(("n_", "tensors_"))}
    return {**record, **empty, "layers_file": None, "duplicate_of": None, "next_retry": None, "license_policy": None}


def mark_weights_lost(record: Mapping[str, Any], why: str) -> Row:
    """A record whose weights nobody has any more: as of a checkpoint that could not be read, and is read again."""
    return {**clear_content(record), **UNREAD, "outcome": "failed", "reason": why}


def mark_withheld(owner: Mapping[str, Any] | None) -> Row:
    """What becomes of a checkpoint whose weights may not be published; owner: the first of the same content."""
    if owner is None:
        return {"outcome": "emitted", "layers_file": None, "license_policy": METADATA}
    policy = None if owner["layers_file"] is not None else METADATA
    return {
        "outcome": "duplicate", "duplicate_of": owner["model_id"], "layers_file": None, "license_policy": policy,
    }  # fmt: skip


def has_weights(record: Mapping[str, Any]) -> bool:
    """Tell whether the dataset has the weights of a checkpoint that was read, if it has any."""
    return bool(record.get("license_policy") != METADATA)


def duplicate_outcome(owner: Mapping[str, Any]) -> str:
    return "failed" if owner["outcome"] == "failed" else "duplicate"


def public_url(url: str) -> str:
    """Where a file was found, without the signature or the credentials in its URL."""
    return url if url.startswith("file:") else redact_url(url)


def attempted_version(checkpoint: Checkpoint) -> dict[str, str | None]:
    return {"revision": checkpoint.revision, "etag": combined_etag(checkpoint)}


def file_etags(checkpoint: Checkpoint) -> list[list[str | None]]:
    return [[file.path, file.etag] for file in checkpoint.files]


# (file sha256, prefix, kernel policy): what two checkpoints have in common whose layers must be the same.
ContentKey = tuple[str, str, str]
