"""An engine that cannot be used is refused before a run begins."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings
from filtercrawl.pipeline.engines.installed import check_engine


def test_the_local_engine_needs_nothing() -> None:
    check_engine(Settings(engine="local", ray_address="ray://host:10001"))


@pytest.mark.skipif(find_spec("ray") is not None, reason="the extra `ray` is installed")
def test_without_ray_the_extra_is_named() -> None:
    with pytest.raises(UsageError, match=r"filtercrawl\[ray\]"):
        check_engine(Settings(engine="ray"))


@pytest.mark.ray
@pytest.mark.parametrize("by_variable", [False, True])
def test_a_driver_outside_the_cluster_is_refused(by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "ray://host:10001" if by_variable else "")
    check_engine(Settings(engine="ray", ray_address="127.0.0.1:6379"))
    with pytest.raises(UsageError, match="ray job submit"):
        check_engine(Settings(engine="ray", ray_address=None if by_variable else "ray://host:10001"))
