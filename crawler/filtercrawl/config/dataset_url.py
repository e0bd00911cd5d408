"""A dataset in an object store: its URL in place of a folder, and the folder of this machine that works on it."""

from __future__ import annotations

import hashlib
import re
from os import fspath
from pathlib import Path
from typing import Annotated, Any, Final

from filtercrawl.config.fields import ValueType, parse_path, show_path

__all__ = ["WORKING_FOLDERS", "Dataset", "working_folder"]

# The folder inside the cache that holds the working folders.
WORKING_FOLDERS: Final = "datasets"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(/?[^/\s][^\s]*)")


def _parse_dataset(value: Any) -> Path | str:
    """Return a folder as a path, and the URL of an object store as text without a slash at its end."""
    text = fspath(value)
    if not isinstance(text, str) or "://" not in text:
        return parse_path(value)
    match = _URL.fullmatch(text.rstrip("/"))
    if match is None:
        raise ValueError(value)
    return f"{match[1].lower()}://{match[2]}"


Dataset = Annotated[
    Path,
    ValueType(
        expected="a path, or a URL such as s3://bucket/name",
        metavar="DIR|URL",
        parse=_parse_dataset,
        show=show_path,
    ),
]


def working_folder(url: str, cache: Path) -> Path:
    """Return the folder in which this machine keeps catalog and tables of a dataset in an object store.

    Args:
        url: The URL of the dataset.
        cache: The folder of the cache.
    """
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2])[-60:].strip("-.")
    return cache / WORKING_FOLDERS / f"{slug or 'dataset'}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
