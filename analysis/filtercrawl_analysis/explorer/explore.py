"""The function behind `filtercrawl explore`: a server for the page, or its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from filtercrawl.api.errors import UsageError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.load.hub_location import HubLocation
from filtercrawl.load.location import FolderLocation, open_location
from filtercrawl_analysis.explorer.page import PageConfig, readable_files
from filtercrawl_analysis.explorer.server import DATASET, ExplorerServer, Search
from filtercrawl_analysis.explorer.static_page import hub_config, write_space, write_static_page

# A search reads all kernels of a size, for each dialog that is opened: seconds for so many.
MAX_SEARCHED: Final = 100_000_000
_HUB: Final = "hub:"


def open_explorer(dataset: str | Path, port: int = 0) -> ExplorerServer:
    """Open the page's server for a dataset; use it in a `with` statement.

    The nearest of all kernels are found for a folder of at most `MAX_SEARCHED` kernels, else those among samples.

    Args:
        dataset: A folder, or `hub:org/name[@revision]`, which the browser then reads by byte ranges.
        port: The port; 0 for any that is free.

    Raises:
        DatasetError: There is no dataset, or one without layers.
        NetworkError: The Hub does not answer.
        UsageError: The port cannot be had, or the name of the repository is missing.
    """
    location = _open(dataset)
    if isinstance(location, HubLocation):
        # A search would fetch all weights.
        remote = _config(location)
        return ExplorerServer(lambda: remote, port=port)
    _config(location)  # an error now, and not in the browser
    kernels = DatasetFolder(location.root).manifest().get("counts", {}).get("kernels", 0)
    search = _search(location) if kernels <= MAX_SEARCHED else None
    return ExplorerServer(
        lambda: _config(location, base=DATASET, similar=search is not None),
        root=location.root,
        search=search,
        port=port,
    )


def write_page(dataset: str | Path, out: Path) -> Path:
    """Write the page's files for any static web server, and return the path of its `index.html`.

    The page finds a dataset folder by the way from `out` to it, and a repository at the commit that it is now at; for
    a repository the files make a static Space.

    Args:
        dataset: A folder, or `hub:org/name[@revision]`.
        out: The folder to write; files of the same names are replaced.

    Raises:
        DatasetError: There is no dataset, or one without layers.
        NetworkError: The Hub does not answer.
        UsageError: The folder cannot be written, or the name of the repository is missing.
    """
    location = _open(dataset)
    if isinstance(location, HubLocation):
        return write_space(_config(location), out)
    relative = Path(os.path.relpath(location.root.resolve(), out.resolve())).as_posix()
    return write_static_page(_config(location, base=f"{quote(relative)}/"), out)


def _open(dataset: str | Path) -> FolderLocation | HubLocation:
    name = str(dataset)
    if not name.startswith(_HUB):
        return _folder(Path(dataset))
    repository = name.removeprefix(_HUB)
    if not repository:
        raise UsageError("--dataset hub: lacks the name of the repository; write hub:org/name")
    return open_location(repository)


def _folder(path: Path) -> FolderLocation:
    location = FolderLocation(path)
    location.index()
    return location


def _config(location: FolderLocation | HubLocation, *, base: str = "", similar: bool = False) -> PageConfig:
    files = readable_files(location)
    if isinstance(location, HubLocation):
        return hub_config(location.repo_id, location.commit, files)
    root = location.root.resolve()
    if base == DATASET:
        return PageConfig(name=root.name, base=base, files=files, location=str(root), similar=similar)
    # Beside a static page the files may be written anew, and the page may be copied to another machine.
    return PageConfig(name=root.name, base=base, files=dict.fromkeys(files), location=root.name, similar=similar)


def _search(location: FolderLocation) -> Search:
    def search(kernel_id: str, k: int, metric: str, invariant: list[str]) -> Mapping[str, Any]:
        # torch takes seconds to import: not before somebody searches.
        from filtercrawl.kernel_search import search as search_kernels
        from filtercrawl.kernel_search.similarity import Invariance, Metric

        changes = cast("list[Invariance]", invariant)
        found = search_kernels(location.root, kernel_id, k=k, metric=cast("Metric", metric), invariant=changes)
        names = {"kernel_id": "id", found.measure: "similarity", "image": "image", "values": "values"}
        columns = found.neighbors.select(list(names)).rename_columns(list(names.values()))
        return {"neighbors": columns.to_pylist(), "searched": f"all {found.searched:,} kernels of this size"}

    return search
