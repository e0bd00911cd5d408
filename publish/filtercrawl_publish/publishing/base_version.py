"""The published version that a local dataset is based on, recorded in its catalog."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from filtercrawl.dataset.catalog import Catalog

__all__ = ["BaseVersion", "record_base", "recorded_base"]


@dataclass(frozen=True, kw_only=True)
class BaseVersion:
    """The version that a dataset folder continues.

    Attributes:
        repo: Id of the repository.
        version: Its tag; the first digits of the commit if it has none.
        commit: Full commit id.
        root: Root hash of its manifest.
    """

    repo: str
    version: str
    commit: str
    root: str


def recorded_base(catalog: Catalog) -> BaseVersion | None:
    """Return the version that a dataset continues; None where it continues none."""
    return None if catalog.release is None else BaseVersion(**json.loads(catalog.release))


def record_base(dataset: Path, base: BaseVersion, files: Iterable[tuple[str, str]] | None = None) -> None:
    """Record that the dataset continues `base`, in one transaction.

    Args:
        dataset: The dataset folder.
        base: The version.
        files: (path, SHA-256) of the layers files that the version holds; None for all in the catalog.
    """
    with Catalog(dataset) as catalog:
        known = [(path, sha256) for path, _, sha256 in catalog.layer_files()]
        catalog.put_released(known if files is None else files, json.dumps(asdict(base)))
