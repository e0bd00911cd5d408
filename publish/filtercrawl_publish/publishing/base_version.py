"""The published version that a local dataset is based on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from filtercrawl.dataset.catalog import Catalog


@dataclass(frozen=True, kw_only=True)
class BaseVersion:
    """The version that a dataset folder goes on from. root: of its manifest."""

    repo: str
    version: str
    commit: str
    root: str


def record_base(dataset: Path, base: BaseVersion, files: Iterable[tuple[str, str]] | None = None) -> None:
    """Note that the folder is `base`; files: (path, sha256) of the layers that it holds, by default all there are."""
    with Catalog(dataset) as catalog:
        every = [(path, sha256) for path, _, sha256 in catalog.layer_files()]
        catalog.put_released(every if files is None else files, json.dumps(asdict(base)))
