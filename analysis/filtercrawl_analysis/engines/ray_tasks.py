"""The engine `ray`: items are computed on the machines of a Ray cluster."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from filtercrawl.api.cancellation import CancellationToken
from filtercrawl.api.errors import EngineError
from filtercrawl.pipeline.engines.ray_cluster.cluster import RayCluster
from filtercrawl.pipeline.engines.ray_cluster.losses import loss_of
from filtercrawl.pipeline.engines.ray_cluster.worker import node_name, public_version
from filtercrawl_analysis.engines.engine import compute
from filtercrawl_analysis.engines.messages import answer_call, pack_call, unpack_outcome

import ray  # isort: skip - after `ray_cluster`, which prepares it

T = TypeVar("T")
R = TypeVar("R")

# Distributions that decide about the digits of results and the bytes of figures.
_DISTRIBUTIONS: Final = ("filtercrawl", "matplotlib", "numpy", "pillow", "pyarrow", "scipy", "torch")
# Items on their way for each CPU: the next one is there when one is done.
_AHEAD: Final = 2
# How often Ray computes an item again whose process or machine is lost.
_RETRIES: Final = 3
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class WorkerCheck:
    """What a process of the cluster needs to compute what the process of the run would.

    Attributes:
        python_path: Folders in which the process of the run finds modules.
        versions: Versions of `_DISTRIBUTIONS` there.
    """

    python_path: tuple[str, ...]
    versions: Mapping[str, str]


class RayEngine:
    """Computes items on a Ray cluster; implements `Engine`. To be closed; connected when the first item is there.

    Args:
        address: Address of the cluster, see `RayCluster`.
        cancellation: Ends the run.
    """

    def __init__(self, address: str | None, cancellation: CancellationToken) -> None:
        self._address = address
        self._cancellation = cancellation
        self._cluster: RayCluster | None = None
        self._check = WorkerCheck(
            python_path=tuple(path for path in sys.path if Path(path).is_absolute()),
            versions={name: public_version(name) for name in _DISTRIBUTIONS},
        )

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the function's value of each item."""
        started: deque[tuple[T, Any]] = deque()
        try:
            for item in items:
                call = pack_call(function, item)
                started.append((item, None if call is None else self._start(call)))
                if len(started) >= _AHEAD * (self._cluster.n_cpus if self._cluster else 1):
                    yield self._value(function, *started.popleft())
            while started:
                yield self._value(function, *started.popleft())
        finally:
            for _, reference in started:
                if reference is not None:
                    ray.cancel(reference, force=True)

    def close(self) -> None:
        """Disconnect, and end a cluster that was started for this run."""
        if self._cluster is not None:
            self._cluster.close()

    def _start(self, call: bytes) -> Any:
        if self._cluster is None:
            self._cluster = RayCluster(self._address)
        task = ray.remote(answer_on_worker).options(num_cpus=1, max_retries=_RETRIES)
        return task.remote(self._check, call)

    def _value(self, function: Callable[[T], R], item: T, reference: Any) -> R:
        if reference is None:
            return compute(function, item)
        while not ray.wait([reference], timeout=_POLL_SECONDS)[0]:
            self._cancellation.raise_if_cancelled()
        try:
            outcome = unpack_outcome(ray.get(reference))
        except ray.exceptions.RayError as error:
            # Ray has tried it again if its process or machine was lost, and not if it raised something.
            raise EngineError(f"a task of `analyze` failed: {loss_of(error, started=True).reason}") from error
        if outcome.unknown:
            return compute(function, item)
        if outcome.error is not None:
            raise outcome.error
        return cast("R", outcome.value)


def answer_on_worker(check: WorkerCheck, call: bytes) -> bytes:
    """Compute a packed call; the Ray task.

    Raises:
        EngineError: This machine would give other results than that of the run.
    """
    sys.path.extend(path for path in check.python_path if path not in sys.path)
    for name, wanted in check.versions.items():
        if (found := public_version(name)) != wanted:
            raise EngineError(
                f"a worker on {node_name()} has {name} {found} and this machine has {wanted}: the same version has to "
                "be installed on all machines of the cluster"
            )
    return answer_call(call)
