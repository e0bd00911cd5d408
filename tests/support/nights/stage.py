"""What a world needs: the Hub, and processes that have their imports done and know no other Hub."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.crashes.commands import commands
from support.forked_python import forked_python
from support.hub.server import HubServer
from support.nights.world import World

# Before anything imports `datasets`: it chooses the parser that `datasets` takes.
_LOAD_CHECK: Final = "filtercrawl_publish.publishing.load_check_worker"


@contextmanager
def stage(folder: Path, seed: int) -> Iterator[World]:
    """Start a Hub and what runs commands.

    Args:
        folder: For machines and caches.
        seed: Of all choices.
    """
    with HubServer() as hub:
        # Read by huggingface_hub and datasets when they are imported, in processes that start now.
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "huggingface"),
            "HF_HUB_OFFLINE": "0",
            "HF_DATASETS_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        with _environment(environment), forked_python(_LOAD_CHECK) as python, commands(python) as server:
            yield World(hub=hub, commands=server, folder=folder, choice=random.Random(seed))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= variables
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
