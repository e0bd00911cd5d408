"""Which engines can be used here."""

from __future__ import annotations

from importlib.util import find_spec

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings
from filtercrawl.config.environment import ray_address


def check_engine(settings: Settings) -> None:
    """Check that the engine of a run is installed and can be reached in the way that the settings say.

    Raises:
        UsageError: It is not, or cannot.
    """
    if settings.engine != "ray":
        return
    if find_spec("ray") is None:
        raise UsageError("--engine ray: Ray is not installed; pip install 'filtercrawl[ray]'")
    address = settings.ray_address or ray_address() or ""
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray-address {address}: this is the address of Ray Client, whose drivers are outside the cluster; run "
            "filtercrawl on a machine of the cluster, or by `ray job submit`"
        )
