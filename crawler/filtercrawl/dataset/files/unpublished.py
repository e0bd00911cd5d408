"""Names of files and folders that are never published."""

from __future__ import annotations

from typing import Final

HIDDEN: Final = ".filtercrawl"

CATALOG: Final = ".filtercrawl/catalog.sqlite"

# Inside the dataset, so that a rename never crosses a filesystem; never published.
TEMPORARY: Final = ".filtercrawl/tmp"

# What a release keeps of a dataset that it did not have to restore: its checkpoints, without any layer.
OUTLINE: Final = ".filtercrawl/outline"
