"""Folders of the checkout, and the environment of child processes that import from `support`."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
REPOSITORY = TESTS.parent


def child_environment() -> dict[str, str]:
    """Return the environment of this process with the folder of the tests on the import path."""
    paths = filter(None, (str(TESTS), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
