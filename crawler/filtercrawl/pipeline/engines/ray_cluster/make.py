"""Make the engine `ray` of a run from its settings."""

from __future__ import annotations

import logging
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings, secret
from filtercrawl.config.environment import is_set
from filtercrawl.dataset.files.unpublished import TEMPORARY
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.ray_cluster.driver import RayRun
from filtercrawl.pipeline.engines.ray_cluster.engine import RayEngine
from filtercrawl.pipeline.engines.ray_cluster.messages import WorkerSettings
from filtercrawl.pipeline.engines.ray_cluster.worker import names_of, public_version
from filtercrawl.transport import MeasuredTransport

# Distributions that decide about results: bytes, measures, and what is known of architectures.
_DISTRIBUTIONS: Final = ("filtercrawl", "numpy", "pyarrow", "timm", "torch", "torchvision")
_KINDS: Final = ("sources", "readers", "measures")


def ray_engine(
    settings: Settings,
    plugins: Plugins,
    index: ContentIndex,
    transport: MeasuredTransport,
    cancellation: CancellationToken,
) -> RayEngine:
    """Return an engine that is not connected yet.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses, and its workers too.
        index: Contents that are known or being read.
        transport: Network access of this process, whose requests count against the budgets.
        cancellation: Ends the run.
    """
    run_id, network = secrets.token_hex(8), settings.network
    tokens = tuple(sorted({variable for variable in network.auth.values() if is_set(variable)}))
    for variable in tokens:
        secret(variable)  # so that the log of this process hides it in the records of workers too
    of_plugins = {entry.dist.name for entry in plugins.entries if entry.dist is not None}
    worker = WorkerSettings(
        run_id=run_id,
        python_path=tuple(path for path in sys.path if Path(path).is_absolute()),
        entries=tuple((entry.name, entry.value, entry.group) for entry in plugins.entries),
        offers={kind: names_of(plugins, kind) for kind in _KINDS},
        versions={name: public_version(name) for name in sorted({*_DISTRIBUTIONS, *of_plugins})},
        network=replace(network, cache=settings.cache, max_requests=None, max_bytes=None),
        tokens=tokens,
        device=settings.device,
        verify_all=settings.prove,
        sharers=1,
        has_budget=settings.max_requests is not None or settings.max_bytes is not None,
        log_level=logging.getLogger().getEffectiveLevel(),
        staging=(settings.dataset / TEMPORARY / f".ray-{run_id}").resolve(),
        marker=secrets.token_hex(16),
    )
    run = RayRun(
        address=settings.ray_address,
        settings=worker,
        stall_timeout=settings.stall_timeout,
        max_requests=_left(settings.max_requests, transport.requests),
        max_bytes=_left(settings.max_bytes, transport.bytes_fetched),
    )
    return RayEngine(run, index, cancellation)


def _left(budget: int | None, used: int) -> int | None:
    return None if budget is None else max(0, budget - used)
