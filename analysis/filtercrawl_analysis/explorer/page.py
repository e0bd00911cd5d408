"""The page's own files, and what it is told about the dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.load.hub_location import HubLocation
from filtercrawl.load.location import FolderLocation

CONFIG: Final = "config.json"
# What the page reads; layers files are found by the paths in index.
_READ: Final = re.compile(r"data/(index|models|samples)(--[^/]+)?\.parquet|analysis/tables/[^/]+\.parquet")
_CONNECT: Final = "connect-src 'self'"


@dataclass(frozen=True, kw_only=True)
class PageConfig:
    """What the page is told by `config.json`.

    Attributes:
        name: What to call the dataset.
        base: Address of the dataset folder, with a slash at its end; relative to the page, or absolute.
        files: Parquet files that the page may read: path -> bytes, None where they may change.
        location: How functions that load kernels find the dataset: a folder, or `org/name@commit`.
        similar: Whether a server answers `api/similar`.
        origins: Other origins from which files come; the policy of the page allows these.
    """

    name: str
    base: str
    files: Mapping[str, int | None]
    location: str
    similar: bool = False
    origins: tuple[str, ...] = ()

    def to_json(self) -> str:
        content = {
            "name": self.name,
            "base": self.base,
            "location": self.location,
            "files": dict(sorted(self.files.items())),
            "capabilities": self.capabilities(),
        }
        return json.dumps(content, indent=1) + "\n"

    def capabilities(self) -> dict[str, Any]:
        return {"similar": self.similar}


def is_read(path: str) -> bool:
    """Tell whether the page reads a file of a dataset, by its path there."""
    return _READ.fullmatch(path) is not None


def page_files() -> dict[str, Path]:
    """Return the files of the page by their path below its address."""
    root = Path(str(files("filtercrawl_analysis.explorer") / "web"))
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def index_html(config: PageConfig) -> str:
    """Return the page itself, with the policy that its dataset needs."""
    html = page_files()["index.html"].read_text("utf-8")
    return html.replace(_CONNECT, " ".join((_CONNECT, *config.origins)), 1)


def readable_files(location: FolderLocation | HubLocation) -> dict[str, int]:
    """Return the Parquet files of a dataset that the page reads, with their sizes.

    Raises:
        DatasetError: There is no dataset, or one without layers.
    """
    location.index()
    if isinstance(location, FolderLocation):
        # Not data/layers, which has thousands of files.
        found = sorted(
            path for folder in ("data", "analysis/tables") for path in location.root.glob(f"{folder}/*.parquet")
        )
        names = {path.relative_to(location.root).as_posix(): path.stat().st_size for path in found}
        return {name: size for name, size in names.items() if is_read(name)}
    location.file("data/files.parquet")
    table = DatasetFolder(location.root).table("files", ["path", "size"])
    rows = zip(table["path"].to_pylist(), table["size"].to_pylist(), strict=True)
    return {path: size for path, size in rows if is_read(path)}
