"""What the driver gives to a worker of the cluster beyond what all engines give, and what it yields beyond that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from filtercrawl.pipeline.engines.workers import messages
from filtercrawl.pipeline.engines.workers.messages import WorkerSettings

# Name of the file by which workers tell whether they see the dataset folder.
MARKER: Final = "marker"


@dataclass(frozen=True, kw_only=True)
class RayWorkerSettings(WorkerSettings):
    """What a worker on any machine of the cluster needs to crawl as the process of the run would; holds no secret.

    Attributes:
        run_id: Random; a process builds its crawler once a run.
        python_path: Folders in which the process of the run finds modules, for plugins that are not installed.
        offers: Names of what the plugins offer in the process of the run, by kind; a worker must offer the same.
        versions: Versions of distributions on which the bytes of results depend.
        tokens: Environment variables that hold a token on the machine of the run.
        marker: Content of the file `MARKER` in the folder of staged files.
        dataset_url: Of the dataset, where it is in an object store: workers upload layers files there.
    """

    run_id: str
    python_path: tuple[str, ...]
    offers: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, str]
    tokens: tuple[str, ...]
    marker: str
    dataset_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileChunk:
    """The next bytes of the staged file, from a worker that does not see the dataset folder.

    Attributes:
        data: The bytes.
    """

    data: bytes


Message = messages.Message | FileChunk
