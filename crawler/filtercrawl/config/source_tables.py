"""Check the tables `[sources.NAME]` of `filtercrawl.toml` against the sources that are installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from filtercrawl.api.errors import UsageError
from filtercrawl.api.formatting import unknown_name
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.source import SupportsSettings
from filtercrawl.config.resolve import FILE

logger = logging.getLogger(__name__)


def check_source_tables(tables: Mapping[str, Mapping[str, Any]], plugins: Plugins) -> None:
    """Check that each table belongs to an installed source, and has only keys that the source reads.

    A table of no source is only warned of while plugins are left out or broken: it may be theirs.

    Args:
        tables: Source name to the source's own settings.
        plugins: The sources.

    Raises:
        UsageError: A source or a key is unknown.
    """
    for name, table in tables.items():
        source = plugins.sources.get(name)
        if source is None:
            problem = f"{FILE}: [sources.{name}] unknown source {unknown_name(name, plugins.sources)}"
            if plugins.complete:
                raise UsageError(problem)
            logger.warning("%s", problem)
        elif isinstance(source, SupportsSettings):
            for key in table:
                if key not in source.setting_names:
                    raise UsageError(f"{FILE}: [sources.{name}] unknown key {unknown_name(key, source.setting_names)}")
