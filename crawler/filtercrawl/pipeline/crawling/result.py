"""The result of crawling one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from filtercrawl.dataset.tables.staged_layers import StagedLayers
from filtercrawl.extraction.classify import ClassifiedTensors
from filtercrawl.pipeline.planning.types import CrawlTask


@dataclass(frozen=True, kw_only=True)
class CrawlResult:
    """What came of one checkpoint. Exactly one of reason (it failed), same_as (known content), unchanged (the server
    says that it is what it was) and extracted is set.

    verified: what the bytes were held against, a word of `models`. version: what the server calls these bytes.
    structure_error:
    why the structure of the network is not known, where its source should know it. whole: whether every byte was
    fetched, which pays where most are wanted.
    """

    task: CrawlTask
    format: str | None = None
    file_sha256: str | None = None
    file_bytes: int | None = None
    verification: str = "none"
    version: str | None = None
    structure_error: str | None = None
    bytes_fetched: int = 0
    requests: int = 0
    fetched_in_full: bool = False
    error: str | None = None
    duplicate_of: str | None = None
    unchanged: bool = False
    tensors: ClassifiedTensors | None = None
    layers: StagedLayers | None = None
