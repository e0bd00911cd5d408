"""Make the engine `ray` of a run from its settings."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Final

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.crawling.content_index import ContentIndex
from filtercrawl.pipeline.engines.ray_cluster.driver import RayDriver, RayRun
from filtercrawl.pipeline.engines.ray_cluster.messages import RayWorkerSettings
from filtercrawl.pipeline.engines.ray_cluster.worker import names_of, public_version
from filtercrawl.pipeline.engines.workers.common_settings import left_of, tokens_of, worker_settings
from filtercrawl.pipeline.engines.workers.engine import WorkerEngine
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
) -> WorkerEngine:
    """Return an engine that is not connected yet.

    Args:
        settings: Settings of the run.
        plugins: What the process of the run uses, and its workers too.
        index: Contents that are known or being read.
        transport: Network access of this process, whose requests count against the budgets.
        cancellation: Ends the run.
    """
    run_id = secrets.token_hex(8)
    of_plugins = {entry.dist.name for entry in plugins.entries if entry.dist is not None}
    worker = RayWorkerSettings(
        **vars(worker_settings(settings, plugins, f".ray-{run_id}")),
        run_id=run_id,
        python_path=tuple(path for path in sys.path if Path(path).is_absolute()),
        offers={kind: names_of(plugins, kind) for kind in _KINDS},
        versions={name: public_version(name) for name in sorted({*_DISTRIBUTIONS, *of_plugins})},
        tokens=tokens_of(settings),
        marker=secrets.token_hex(16),
        dataset_url=settings.dataset_url,
    )
    run = RayRun(
        address=settings.ray_address,
        settings=worker,
        stall_timeout=settings.stall_timeout,
        max_requests=left_of(settings.max_requests, transport.requests),
        max_bytes=left_of(settings.max_bytes, transport.bytes_fetched),
    )
    return WorkerEngine(lambda: RayDriver(run, index), index, cancellation)
