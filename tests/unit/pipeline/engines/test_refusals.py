"""A machine on which results would differ is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from filtercrawl.api.errors import EngineError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import NetworkSettings
from filtercrawl.pipeline.engines.ray_cluster.messages import RayWorkerSettings

pytestmark = pytest.mark.ray
pytest.importorskip("ray", reason="the extra `ray` is not installed")

SETTINGS = RayWorkerSettings(
    run_id="run", python_path=(), entries=(), offers={}, versions={}, network=NetworkSettings(), tokens=(),
    device="cpu", verify_all=False, sharers=1, reading_seconds=10.0, has_budget=False, log_level=30,
    staging=Path("/none"), marker="text",
)  # fmt: skip


@pytest.mark.parametrize(
    ("differing", "told"),
    [
        ({"versions": {"pyarrow": "1.0"}}, "pyarrow .* and this machine has 1.0"),
        ({"versions": {"no-such-distribution": "1.0"}}, "no-such-distribution none"),
        ({"offers": {"readers": ("safetensors", "acme")}}, "lacks the readers acme"),
        ({"tokens": ("ACME_TOKEN",)}, "ACME_TOKEN with a token is not set"),
    ],
)
def test_the_difference_is_named(differing: dict[str, Any], told: str, plugins: Plugins) -> None:
    from filtercrawl.pipeline.engines.ray_cluster.worker import refuse_difference

    with pytest.raises(EngineError, match=told):
        refuse_difference(replace(SETTINGS, **differing), plugins)


def test_an_equal_machine_is_not_refused(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    from filtercrawl.pipeline.engines.ray_cluster.worker import names_of, public_version, refuse_difference

    monkeypatch.setenv("ACME_TOKEN", "secret")
    same = {
        "versions": {"pyarrow": public_version("pyarrow")},
        "offers": {"readers": names_of(plugins, "readers"), "sources": names_of(plugins, "sources")},
        "tokens": ("ACME_TOKEN",),
    }
    refuse_difference(replace(SETTINGS, **same), plugins)
