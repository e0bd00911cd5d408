"""The version of the interface between filtercrawl and plugins; see the page on it for what may change when."""

from __future__ import annotations

from typing import Final

# Raised when a plugin written for the version before may no longer work; a plugin may state its own as FILTERCRAWL_API.
API_VERSION: Final = 1
# Versions for which a plugin may be built to be loaded.
SUPPORTED: Final = frozenset({1})


def refusal(stated: object) -> str | None:
    """Say why a plugin that states this version is not loaded; None where it is, or states nothing."""
    if stated is None or (stated in SUPPORTED and type(stated) is int):
        return None
    known = ", ".join(str(version) for version in sorted(SUPPORTED))
    return (
        f"it is built for version {stated!r} of the plugin interface (FILTERCRAWL_API), and this filtercrawl knows "
        f"{known}; install a release of the plugin or of filtercrawl that fits the other"
    )
