"""Which engines can be used here."""

from __future__ import annotations

from importlib.util import find_spec

from filtercrawl.api.errors import UsageError
from filtercrawl.config import Settings


def check_engine(settings: Settings) -> None:
    """Check that the engine of a run is installed.

    Raises:
        UsageError: It is not.
    """
    if settings.engine == "ray" and find_spec("ray") is None:
        raise UsageError("--engine ray: Ray is not installed; pip install 'filtercrawl[ray]'")
