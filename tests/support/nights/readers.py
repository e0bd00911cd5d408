"""What readers get of a repository with the real clients, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Print the content of each revision that the command line names, after the repository and an empty folder."""
    repo, folder, *revisions = sys.argv[1:]
    found = {revision: content(repo, revision, Path(folder)) for revision in revisions}
    print(json.dumps(found))  # noqa: T201 - the answer


def content(repo: str, revision: str, folder: Path) -> dict[str, Any]:
    """Load and download a revision.

    Args:
        repo: The dataset repository.
        revision: A tag or `main`.
        folder: For caches, empty at first.

    Returns:
        `layers`: SHA-256 of the weights by layer as the table `layers` has them; `index`: as `index` states them, and
        null where a layer has none; `licenses`: by model; `folder`: where the files are.
    """
    import datasets
    from huggingface_hub import snapshot_download

    datasets.config.USE_PARQUET_EXPORT = False  # what the Hub converts itself

    def rows(config: str) -> Any:
        return datasets.load_dataset(repo, config, split="train", revision=revision, cache_dir=str(folder / "datasets"))

    digests: dict[str, Any] = {}
    for row in rows("layers").with_format("numpy"):  # parts of a layer follow one another
        digests.setdefault(row["layer_id"], hashlib.sha256()).update(row["weight"].astype("<f4").tobytes())
    index = rows("index").select_columns(["layer_id", "layer_sha256"])
    models = rows("models").select_columns(["model_id", "license", "outcome"])
    there = snapshot_download(repo, repo_type="dataset", revision=revision, cache_dir=str(folder / "hub"))
    return {
        "layers": {layer_id: digest.hexdigest() for layer_id, digest in digests.items()},
        "index": {row["layer_id"]: row["layer_sha256"] for row in index},
        "licenses": {row["model_id"]: row["license"] for row in models if row["outcome"] in ("emitted", "duplicate")},
        "folder": there,
    }
