"""The page as files for a static web server, among them a static Space of the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config import hub_endpoint
from filtercrawl.config.urls import origin
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
    """Write the page's files, and return the path of its `index.html`; files of the same names are replaced.

    Raises:
        UsageError: The folder cannot be written.
    """
    try:
        for name, source in page_files().items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / name)
        index = out / "index.html"
        index.write_text(index_html(config), "utf-8")
        (out / CONFIG).write_text(config.to_json(), "utf-8")
    except OSError as error:
        raise _unwritable(out, error) from error
    return index


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
    try:
        card.write_text(_SPACE_CARD.format(repo_id=config.name), "utf-8")
    except OSError as error:
        raise _unwritable(out, error) from error
    return index


def _unwritable(out: Path, error: OSError) -> UsageError:
    return UsageError(f"{out}: cannot be written ({error.strerror or error})")
