"""Which engines can be used here."""

from __future__ import annotations

from filtercrawl.api.errors import UsageError
from filtercrawl.api.extras import require_extra
from filtercrawl.config import Settings
from filtercrawl.config.environment import ray_address


def check_engine(settings: Settings) -> None:
    """Check that the engine of a run is installed and can be reached in the way that the settings say.

    Raises:
        UsageError: It is not, or cannot.
    """
    if settings.engine != "ray":
        return
    require_extra("--engine ray", "ray")
    address = settings.ray_address or ray_address() or ""
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray-address {address}: this is the address of Ray Client, whose drivers are outside the cluster; run "
            "filtercrawl on a machine of the cluster, or by `ray job submit`"
        )
