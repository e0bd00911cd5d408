"""What the files of a run are fetched with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import httpx2

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.transport.bulk_queue import BulkQueue
from filtercrawl.transport.link_model import LinkEstimate
from filtercrawl.transport.range_cache import RangeCache
from filtercrawl.transport.readahead import ActiveReaders
from filtercrawl.transport.retry import Clock, RetryPolicy


@dataclass(frozen=True, kw_only=True)
class FetchContext:
    """The one client, the cache, how long to bear with a server, and what keeps files out of each other's way.

    pool: for requests in the background; bulk: for those of files whose turn it is to fetch much, which so do not wait
    behind the structure of all the next ones. link: what the host of an address was measured to cost.
    """

    client: httpx2.Client
    cache: RangeCache
    pool: Executor
    bulk: Executor
    link: Callable[[str], LinkEstimate]
    active_readers: ActiveReaders
    bulk_queue: BulkQueue
    retry_policy: RetryPolicy
    cancellation: CancellationToken
    clock: Clock
