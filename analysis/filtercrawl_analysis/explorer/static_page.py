"""The page as files for a static web server, among them a static Space of the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.config import hub_endpoint
from filtercrawl.config.urls import origin
from filtercrawl.dataset.files.atomic import remove_empty_scratch, write_bytes
from filtercrawl_analysis.explorer.page import CONFIG, PageConfig, index_html, page_files

# What makes a folder a static Space of the Hub.
_SPACE_CARD: Final = """---
title: Kernels of {repo_id}
sdk: static
app_file: index.html
datasets:
  - {repo_id}
---

The kernels of [{repo_id}](https://huggingface.co/datasets/{repo_id}), written by `filtercrawl explore`.
"""
_CARD: Final = "README.md"
_INDEX: Final = "index.html"
_STATIC: Final = "sdk: static"
# Where the Hub redirects requests for files.
_HUB_STORAGE: Final = "https://*.hf.co"


def hub_config(repo_id: str, commit: str, files: Mapping[str, int]) -> PageConfig:
    """Return what the page is told that reads one commit of a dataset repository.

    Args:
        repo_id: `org/name`.
        commit: The SHA of the commit.
        files: Bytes of the files that the page may read, by path: `readable`.
    """
    address = f"{hub_endpoint()}/datasets/{repo_id}/resolve/{commit}/"
    return PageConfig(
        name=repo_id,
        base=address,
        files=files,
        location=f"{repo_id}@{commit}",
        immutable=True,
        origins=(origin(address), _HUB_STORAGE),
    )


def write_static_page(config: PageConfig, out: Path) -> Path:
    """Write the page's files, each atomically, and return the path of its `index.html`.

    Args:
        config: What the page is told.
        out: The folder to write; files of the same names are replaced.

    Raises:
        UsageError: The folder cannot be written.
    """
    scripts = {name: source.read_bytes() for name, source in page_files().items() if name != _INDEX}
    # The page itself comes last: what it needs is there then.
    _write_files(out, {**scripts, CONFIG: config.to_json().encode(), _INDEX: index_html(config).encode()})
    return out / _INDEX


def write_space(config: PageConfig, out: Path) -> Path:
    """Write the files of a static Space, and return the path of its `index.html`.

    Args:
        config: Of a repository: `hub_config`.
        out: The folder to write; files of the same names are replaced.

    Raises:
        UsageError: The folder cannot be written, or holds the card of something else, such as a dataset.
    """
    card = out / _CARD
    if card.is_file() and _STATIC not in card.read_text("utf-8", errors="replace"):
        raise UsageError(f"{card}: is not the card of a static Space, and would be replaced; choose another --out")
    index = write_static_page(config, out)
    _write_files(out, {_CARD: _SPACE_CARD.format(repo_id=config.name).encode()})
    return index


def _write_files(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files in this order, each atomically."""
    try:
        for name, data in files.items():
            write_bytes(out / name, out, data)
    except DatasetError as error:
        cause = error.__cause__
        reason = (isinstance(cause, OSError) and cause.strerror) or error
        raise UsageError(f"{out}: cannot be written ({reason})") from error
    finally:
        remove_empty_scratch(out)
