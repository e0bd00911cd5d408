"""A licence as a zoo names it: an SPDX expression where it is one, the zoo's own word as evidence where not."""

from __future__ import annotations

from filtercrawl_plugins.metadata.spdx import spdx


def normalize_license(stated: str | None, where: str) -> tuple[str | None, str | None]:
    """Return (SPDX expression, evidence) for what a zoo states; (None, None) where it states nothing.

    where: the field it stands in, `timm cfg license`. A word that is no SPDX licence (`gemma`, a URL) is kept in the
    evidence alone.
    """
    if not stated or not stated.isprintable():
        return None, None
    return spdx(stated), f"{where}: {stated}"
