"""What needs packages that only an extra of filtercrawl brings says so in one line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from filtercrawl.api.errors import UsageError

# Packages of each extra that something cannot do without, as they are imported.
EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "analysis": ("matplotlib", "scipy"),
    "cnn-filter-db": ("pandas", "tables"),
    "ray": ("ray",),
    "signing": ("cryptography",),
    "zoos": ("timm", "torchvision"),
}


def missing_extra(extra: str, *packages: str) -> str | None:
    """Return what is missing and how to install it; None if nothing is. No package is imported.

    Args:
        extra: One of `EXTRAS`.
        packages: Those of its packages that are needed; all if none is named.
    """
    missing = [package for package in packages or EXTRAS[extra] if find_spec(package) is None]
    return f"needs {' and '.join(missing)}; pip install 'filtercrawl[{extra}]'" if missing else None


def require_extra(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        what: What needs them.
        extra: One of `EXTRAS`.
        packages: Those of its packages that are needed; all if none is named.

    Raises:
        UsageError: A package is missing.
    """
    if missing := missing_extra(extra, *packages):
        raise UsageError(f"{what} {missing}")
