"""The connection to a Ray cluster: what it offers, and how tasks are placed on it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from filtercrawl.api.errors import EngineError, describe_error
from filtercrawl.config.environment import ray_address
from filtercrawl.pipeline.engines.workers.attempt import Limits

# How long the list of nodes is believed.
_REFRESH_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """A machine of the cluster, or one of several raylets on it.

    Attributes:
        id: Ray's id of it.
        resources: Its resources by name: `CPU`, `GPU`, `memory` in bytes.
    """

    id: str
    resources: Mapping[str, float]


class RayCluster:
    """A cluster that this process is connected to.

    Args:
        address: Address of a running cluster; None for the one in `RAY_ADDRESS`, or else one on this machine that ends
            with this object.

    Raises:
        EngineError: No cluster answers at the address.
    """

    def __init__(self, address: str | None) -> None:
        self._owned = not ray.is_initialized()
        if self._owned:
            _connect(address or ray_address())
        self._nodes: tuple[Node, ...] = ()
        self._refreshed = 0.0

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are alive and have CPUs."""
        if not self._nodes or time.monotonic() - self._refreshed > _REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            self._nodes = tuple(
                Node(id=node["NodeID"], resources=node["Resources"])
                for node in ray.nodes()
                if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
            )
        return self._nodes

    @property
    def n_cpus(self) -> int:
        """CPUs of all nodes, at least 1: a node may be about to join."""
        return max(1, sum(int(node.resources["CPU"]) for node in self.nodes))

    @property
    def has_gpu(self) -> bool:
        return any(node.resources.get("GPU", 0) >= 1 for node in self.nodes)

    def options(self, limits: Limits, *, gpu: bool, avoid: str | None) -> dict[str, Any]:
        """Return the options of a Ray task.

        Args:
            limits: What it may use.
            gpu: Whether it takes a GPU.
            avoid: The node on which the last attempt failed: another one is preferred.
        """
        nodes = [node for node in self.nodes if not gpu or node.resources.get("GPU", 0) >= 1]
        chosen: dict[str, Any] = {"num_cpus": 1, "num_gpus": 1 if gpu else 0, "max_retries": 0}
        largest = max((node.resources.get("memory", 0) for node in nodes), default=0)
        if avoid is not None or limits.alone:
            others = [node for node in nodes if node.id != avoid] or nodes
            if others:
                target = max(others, key=lambda node: (node.resources.get("memory", 0), node.id))
                chosen["scheduling_strategy"] = NodeAffinitySchedulingStrategy(target.id, soft=True)
                largest = target.resources.get("memory", 0)
                if limits.alone:
                    chosen["num_cpus"] = int(target.resources["CPU"])
        # More than the node has would wait for ever.
        return chosen | {"memory": min(limits.memory, int(largest)) if largest else None}

    def close(self) -> None:
        """Disconnect, and end a cluster that was started for this process."""
        if self._owned:
            ray.shutdown()


def here() -> NodeAffinitySchedulingStrategy:
    """Return the strategy that places an actor on the node of this process."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _connect(address: str | None) -> None:
    """Connect to a cluster, or start one on this machine; the signal handlers of this process stay as they are."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if main else None
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    try:
        if address is None:
            ray.init(**quiet, include_dashboard=False)
        else:
            ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        where = "a Ray cluster cannot be started here" if address is None else f"--ray-address {address}"
        raise EngineError(f"{where}: {describe_error(error)}; see `ray status`") from error
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
