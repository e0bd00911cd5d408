"""Which version of the schema a dataset folder states, and whether this program reads it."""

from __future__ import annotations

import json
from pathlib import Path

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.schema.arrow import SCHEMA_VERSION


def check_schema_version(dataset: Path) -> int | None:
    """Return the version that manifest.json states; None where nothing states one.

    Raises DatasetError for a newer one, whose tables may mean something else.
    """
    try:
        version = json.loads((dataset / manifest.PATH).read_bytes())["schema_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        return None
    if version > SCHEMA_VERSION:
        raise DatasetError(
            f"{dataset}: has schema version {version}, this filtercrawl reads {SCHEMA_VERSION}: update filtercrawl"
        )
    return version
