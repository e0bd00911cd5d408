"""A digest of what the analyses see of a dataset: it tells whether results are of its present state."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

# Columns of `models` on where a checkpoint was found and how it was read, which change while it stays the same.
_OF_CRAWLS: Final = frozenset(
    {
        "attempts", "next_retry", "etag", "last_modified", "bytes_fetched", "first_seen", "last_seen", "first_release",
        "crawled_at", "filtercrawl_version", "selectors", "state", "url", "revision", "aliases", "reason", "verified",
        "layers_file",
    }
)  # fmt: skip
# Columns of `index` that say where a weight lies, not what it is.
_OF_FILES: Final = frozenset({"file", "row_group", "part", "n_parts", "out_start"})


def dataset_state(index: pa.Table, models: pa.Table) -> str:
    """Return 16 hexadecimal digits that are equal for equal layers and models, in any order of the rows.

    Args:
        index: All rows of `index`.
        models: All rows of `models`; those without layers do not count.
    """
    with_layers = models.filter(pc.is_in(models["model_id"], pc.unique(index["model_id"].combine_chunks())))
    digest = hashlib.sha256()
    for rows, key, left_out in ((index, "layer_id", _OF_FILES), (with_layers, "model_id", _OF_CRAWLS)):
        ordered = rows.sort_by(key)
        for name in sorted(set(rows.column_names) - left_out):
            digest.update(json.dumps([name, ordered[name].to_pylist()], default=str).encode())
    return digest.hexdigest()[:16]
