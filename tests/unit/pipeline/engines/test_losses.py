"""What the errors of Ray say about a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from filtercrawl.api.errors import EngineError

pytestmark = pytest.mark.ray
exceptions = pytest.importorskip("ray.exceptions", reason="the extra `ray` is not installed")


@pytest.mark.parametrize(
    ("error", "started", "counts"),
    [
        (exceptions.WorkerCrashedError, True, True),
        (exceptions.WorkerCrashedError, False, False),
        (lambda: exceptions.OutOfMemoryError("99 % used"), True, True),
        (lambda: exceptions.NodeDiedError("gone"), True, False),
        (lambda: exceptions.ObjectLostError("id", None, ""), True, False),
        (lambda: exceptions.RayTaskError("crawl", "", ValueError("odd")), True, True),
    ],
)
def test_only_what_a_checkpoint_may_cause_counts_against_it(
    error: Callable[[], Any], started: bool, counts: bool
) -> None:
    from filtercrawl.pipeline.engines.ray_cluster.losses import loss_of

    assert loss_of(error(), started=started).counts is counts


def test_a_worker_that_refuses_to_work_ends_the_run() -> None:
    from filtercrawl.pipeline.engines.ray_cluster.losses import loss_of

    refusal = EngineError("a worker has pyarrow 1")
    with pytest.raises(EngineError, match="pyarrow 1"):
        loss_of(exceptions.RayTaskError("crawl", "", refusal), started=False)
