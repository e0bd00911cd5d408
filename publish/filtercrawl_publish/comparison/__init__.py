"""Compare two versions of a dataset by their tables, and write the change log of a version."""

from filtercrawl_publish.comparison.compare import compare_snapshots
from filtercrawl_publish.comparison.difference import Difference, LayerChurn
from filtercrawl_publish.comparison.snapshot import DatasetSnapshot, open_snapshot

__all__ = ["DatasetSnapshot", "Difference", "LayerChurn", "compare_snapshots", "open_snapshot"]
