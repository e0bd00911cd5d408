"""A Ray cluster of two nodes on this machine, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from conftest import NOW
from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.api.progress import NullProgress, Progress
from filtercrawl.config import Settings
from filtercrawl.pipeline.report import SyncReport
from filtercrawl.pipeline.sync import SyncContext, sync
from support.engines import RunOn
from support.plugins import declared


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two raylets of one CPU each."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        made.add_node(num_cpus=1)
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture(scope="session")
def poisoned_plugins() -> Plugins:
    """The bundled plugins, a reader that harms its process, and a source over HTTP."""
    poisoned = EntryPoint("poisoned", "support.poisoned_reader", "filtercrawl.readers")
    return load_plugins([*declared(), poisoned, EntryPoint("served", "support.served_zoo", "filtercrawl.sources")])


@pytest.fixture
def run_on(poisoned_plugins: Plugins, dataset: Path, zoo: Path, request: pytest.FixtureRequest) -> RunOn:
    """Sync the folder `zoo` into `dataset` on an engine; keyword arguments are settings."""

    def call(
        engine: str,
        *selectors: str,
        progress: Progress | None = None,
        cancellation: CancellationToken | None = None,
        **settings: Any,
    ) -> SyncReport:
        address = request.getfixturevalue("cluster").address if engine == "ray" else None
        chosen: dict[str, Any] = {"dataset": dataset, "device": "cpu", "jobs": 1, **settings}
        context = SyncContext(
            settings=Settings(**chosen, engine=engine, ray_address=address),
            plugins=poisoned_plugins,
            now=NOW,
            progress=progress or NullProgress(),
            cancellation=cancellation or CancellationToken(),
        )
        return sync(selectors or (f"local:{zoo}",), context)

    return call
