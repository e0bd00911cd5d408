"""The result of crawling one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filtercrawl.dataset.tables.staged_layers import Shard
    from filtercrawl.extraction.classify import Extracted
    from filtercrawl.pipeline.planning.types import Todo


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What came of one checkpoint. Exactly one of reason (it failed), same_as (known content), unchanged (the server
    says that it is what it was) and extracted is set.

    verified: what the bytes were held against, a word of `models`. version: what the server calls these bytes. note:
    why the structure of the network is not known, where its source should know it. whole: whether every byte was
    fetched, which pays where most are wanted.
    """

    todo: Todo
    format: str | None = None
    file_sha256: str | None = None
    file_bytes: int | None = None
    verified: str = "none"
    version: str | None = None
    note: str | None = None
    bytes_fetched: int = 0
    requests: int = 0
    whole: bool = False
    reason: str | None = None
    same_as: str | None = None
    unchanged: bool = False
    extracted: Extracted | None = None
    shard: Shard | None = None
