"""The page's own files, and what it is told about the dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.load.configs import table_files
from filtercrawl.load.hub_location import HubLocation
from filtercrawl.load.location import FolderLocation

CONFIG: Final = "config.json"
_TABLES: Final = ("index", "models", "samples")
# What the page reads; layers files are found by the paths in index.
_READ: Final = re.compile(r"data/(index|models|samples)/[^/]+\.parquet|analysis/tables/[^/]+\.parquet")
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
        immutable: Whether the files always stay the same.
        origins: Other origins from which files come; the policy of the page allows these.
    """

    name: str
    base: str
    files: Mapping[str, int | None]
    location: str
    similar: bool = False
    immutable: bool = False
    origins: tuple[str, ...] = ()

    def to_json(self) -> str:
        content = {
            "name": self.name,
            "base": self.base,
            "location": self.location,
            "immutable": self.immutable,
            "files": dict(self.files),
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
    """Return the Parquet files of a dataset that the page reads, with their sizes, by path.

    Raises:
        DatasetError: There is no dataset, or one without layers, or one of the older layout.
    """
    if not all(is_read(path.relative_to(location.root).as_posix()) for path in location.index()):
        what = "has the layout of an older version; `filtercrawl migrate` brings a folder to this one"
        raise DatasetError(f"{location}: {what}")
    if isinstance(location, FolderLocation):
        folders = [location.root / "data" / name for name in _TABLES] + [location.root / "analysis/tables"]
        found = [path for folder in folders for path in folder.glob("*.parquet")]
        sizes = {path.relative_to(location.root).as_posix(): path.stat().st_size for path in found}
    else:
        for path in table_files(location, "files"):
            location.file(path)
        table = DatasetFolder(location.root).table("files", ["path", "size"])
        sizes = dict(zip(table["path"].to_pylist(), table["size"].to_pylist(), strict=True))
    return readable(sizes)


def readable(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return those of a dataset's files that the page reads, by path.

    Args:
        sizes: Bytes by path.
    """
    return {name: sizes[name] for name in sorted(filter(is_read, sizes))}
