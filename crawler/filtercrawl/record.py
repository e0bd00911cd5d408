"""Rows of `models`: how one is made, and what it says about a checkpoint's content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.catalog import Row
from filtercrawl.checkpoint import Checkpoint
from filtercrawl.discover import etag
from filtercrawl.release_order import release_order
from filtercrawl.rights import METADATA
from filtercrawl.schema import MODELS
from filtercrawl.transport.address import shown
from filtercrawl.validation import storable

if TYPE_CHECKING:  # torch takes seconds to import, and a row needs none
    from filtercrawl.crawl import Crawled
    from filtercrawl.crew import ContentKey

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


def fresh(crawled: Crawled, now: datetime, version: str) -> Row:
    """Return the row of a checkpoint that was just read, outcome and content still to come."""
    checkpoint, known = crawled.todo.checkpoint, crawled.todo.known
    run, main = checkpoint.run, checkpoint.files[0]
    record: Row = dict.fromkeys(MODELS.names)
    record |= {
        "model_id": crawled.todo.model_id,
        "source": crawled.todo.source,
        "name": known["name"] if known else checkpoint.name,
        "aliases": sorted({*checkpoint.aliases, *((known["aliases"] or []) if known else [])}),
        "attempts": 0,
        "revision": revision(crawled),
        "etag": etag(checkpoint),
        "file": main.path,
        "format": crawled.format,
        "file_sha256": crawled.file_sha256,
        "file_bytes": crawled.file_bytes,
        "bytes_fetched": crawled.bytes_fetched,
        "verified": crawled.verified,
        "kernel_policy": crawled.todo.policy,
        "first_seen": known["first_seen"] if known else now,
        "last_seen": now,
        "first_release": known["first_release"] if known else None,
        "crawled_at": now,
        "filtercrawl_version": version,
        "selectors": selectors(known, crawled),
        "_tried": tried(checkpoint),
        "_files": places(checkpoint),
        "_url": place(main.url),
        "_prefix": checkpoint.prefix,
        "_version": crawled.version,
    }
    record |= stated(checkpoint)
    if run is not None:
        record |= {"run_id": run.id, "step": run.step, "seed": run.seed, "run_final": run.final}
    return storable(record)


def stated(checkpoint: Checkpoint) -> Row:
    """Return the columns that the source states of a checkpoint, which may change while its bytes stay."""
    meta, url = checkpoint.meta, checkpoint.files[0].url
    row: Row = {name: getattr(meta, name) for name in _STATED}
    row["training_datasets"] = list(meta.training_datasets) or None
    for name in ("metrics", "extra"):
        row[name] = json.dumps(getattr(meta, name), sort_keys=True) if getattr(meta, name) else None
    row["url"] = None if url.startswith("file:") else shown(url)  # never a path of this machine
    return storable(row)


def restated(known: Mapping[str, Any], checkpoint: Checkpoint) -> bool:
    """Tell whether the source states something else than before that readers should know without delay."""
    return any(known.get(name) != value for name, value in stated(checkpoint).items() if name not in _QUIET)


def content_key(crawled: Crawled) -> ContentKey:
    """What two checkpoints have in common whose layers must be the same."""
    return crawled.file_sha256 or "", crawled.todo.checkpoint.prefix, crawled.todo.policy


def same_content(crawled: Crawled, known: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint holds what it held, read under the same policy; one that nobody hashed may not."""
    digest = crawled.file_sha256
    return digest is not None and digest == known["file_sha256"] and known["kernel_policy"] == crawled.todo.policy


def revision(crawled: Crawled) -> str | None:
    """What changes exactly when the bytes do, as the source or its server says, or as they hash."""
    return crawled.todo.checkpoint.revision or crawled.file_sha256 or crawled.version


def known_key(known: Mapping[str, Any]) -> ContentKey:
    return known["file_sha256"] or "", known.get("_prefix") or "", known["kernel_policy"] or ""


def fingerprint(rows: Sequence[Row]) -> str | None:
    """Digest the multiset of (kernel size, layer_sha256) of the emitted layers; None where there are none."""
    lines = sorted(f"{row['kernel']} {row['layer_sha256']}\n" for row in rows if row["layer_sha256"] is not None)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """Count the layers and kernels that are emitted."""
    emitted = [row for row in rows if row["layer_sha256"] is not None]
    return {
        "n_layers": len(emitted),
        "n_kernels": sum(row["n_kernels"] for row in emitted),
        "n_kernels_3x3": sum(row["n_kernels"] for row in emitted if row["kernel"] == "3x3"),
    }


def adopt(row: Row, model_id: str, source: str) -> Row:
    """Give a layer of another checkpoint with the same file this one's ids."""
    layer_id = f"{model_id}#{row['tensor']}" + ("" if row["bank_index"] is None else f"@{row['bank_index']}")
    return row | {"model_id": model_id, "source": source, "layer_id": layer_id, "row_id": f"{layer_id}#part0"}


def rank(record: Mapping[str, Any]) -> tuple[str, str]:
    """The order of claims to the weights of a shared content: earliest release, then smallest model_id."""
    return release_order(record["first_release"]), record["model_id"]


def outcome(record: Mapping[str, Any]) -> str:
    """What the stored content of a checkpoint says it is."""
    if record["layers_file"] is not None:
        return "emitted"
    if record["duplicate_of"] is not None:
        return "duplicate"
    return "no_kernels" if has_weights(record) else "emitted"


def emptied(record: Mapping[str, Any]) -> Row:
    """A record without the content that it told of."""
    empty = {name: None for name in MODELS.names if name.startswith(("n_", "tensors_"))}
    return {**record, **empty, "layers_file": None, "duplicate_of": None, "next_retry": None, "license_policy": None}


def lost(record: Mapping[str, Any], why: str) -> Row:
    """A record whose weights nobody has any more: as of a checkpoint that could not be read, and is read again."""
    return {**emptied(record), **UNREAD, "outcome": "failed", "reason": why}


def withheld(keeper: Mapping[str, Any] | None) -> Row:
    """What becomes of a checkpoint whose weights may not be published; keeper: the first of the same content."""
    if keeper is None:
        return {"outcome": "emitted", "layers_file": None, "license_policy": METADATA}
    policy = None if keeper["layers_file"] is not None else METADATA
    return {
        "outcome": "duplicate", "duplicate_of": keeper["model_id"], "layers_file": None, "license_policy": policy,
    }  # fmt: skip


def has_weights(record: Mapping[str, Any]) -> bool:
    """Tell whether the dataset has the weights of a checkpoint that was read, if it has any."""
    return bool(record.get("license_policy") != METADATA)


def outcome_beside(twin: Mapping[str, Any]) -> str:
    return "failed" if twin["outcome"] == "failed" else "duplicate"


def place(url: str) -> str:
    """Where a file was found, without the signature or the credentials in its URL."""
    return url if url.startswith("file:") else shown(url)


def tried(checkpoint: Checkpoint) -> dict[str, str | None]:
    return {"revision": checkpoint.revision, "etag": etag(checkpoint)}


def places(checkpoint: Checkpoint) -> list[list[str | None]]:
    return [[file.path, file.etag] for file in checkpoint.files]


def selectors(known: Mapping[str, Any] | None, crawled: Crawled) -> list[str]:
    return sorted({*((known["selectors"] or []) if known else []), crawled.todo.selector_id})
