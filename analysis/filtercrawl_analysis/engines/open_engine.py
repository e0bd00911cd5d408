"""The engine that the settings of a run name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.config import Settings
from filtercrawl.pipeline.engines.installed import check_engine
from filtercrawl_analysis.engines.engine import Engine, SerialEngine
from filtercrawl_analysis.engines.processes import ProcessEngine


@contextmanager
def open_engine(settings: Settings, cancellation: CancellationToken) -> Iterator[Engine]:
    """Yield the engine of a run, and end its processes afterwards.

    Args:
        settings: `engine`, `jobs` and `ray_address`.
        cancellation: Ends the run.

    Raises:
        UsageError: The engine is not installed, or its address is none that it can use.
    """
    check_engine(settings)
    if settings.engine == "ray":
        from filtercrawl_analysis.engines.ray_tasks import RayEngine  # an extra

        with closing(RayEngine(settings.ray_address, cancellation)) as on_cluster:
            yield on_cluster
    elif settings.jobs > 1:
        with closing(ProcessEngine(settings.jobs, cancellation)) as processes:
            yield processes
    else:
        yield SerialEngine()
