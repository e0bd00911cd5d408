"""What tests of engines share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filtercrawl.dataset.files.manifest import ABOUT_RUNS
from filtercrawl.pipeline.report import SyncReport

# Syncs on the engine that it is given; keyword arguments are settings.
RunOn = Callable[..., SyncReport]


def files(dataset: Path) -> dict[str, bytes]:
    """Return the published files of the data by path."""
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file()
        and ".filtercrawl" not in path.parts
        and path.relative_to(dataset).as_posix() not in ABOUT_RUNS
    }
