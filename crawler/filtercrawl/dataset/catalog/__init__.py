"""The catalog: the only package with SQL."""

from filtercrawl.dataset.catalog.store import Catalog
from filtercrawl.dataset.files.unpublished import HIDDEN

__all__ = ["HIDDEN", "Catalog"]
