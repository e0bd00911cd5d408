"""The catalog: the only package with SQL."""

from filtercrawl.catalog.published import Row
from filtercrawl.catalog.store import HIDDEN, Catalog

__all__ = ["HIDDEN", "Catalog", "Row"]
