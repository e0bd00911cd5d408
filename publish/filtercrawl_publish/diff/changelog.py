"""What changed in a version: `changes.json` and the newest section of `CHANGES.md`, from the data alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from filtercrawl.dataset.card.body import escape
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.layout import HIDDEN
from filtercrawl_publish.diff.compare import Difference, compare_snapshots, files_to_compare
from filtercrawl_publish.diff.snapshot import DatasetSnapshot
from filtercrawl_publish.diff.text import format_difference, heading
from filtercrawl_publish.repository.base import Repository

# Versions that the text tells of; every version's own changes.json stays at its tag.
SECTIONS: Final = 200
_TITLE: Final = (
    "# Changes\n\nWhat changed from version to version, newest first; `changes.json` is the newest in full.\n"
)
_SECTION: Final = re.compile(r"^## ", re.MULTILINE)


def write(before: Path | None, after: Path, version: str, folder: Path) -> Difference:
    """Compare the version before with what is to be published and write both files into `folder`.

    before: a folder with the last version's tables (`difference.wanted`) and its CHANGES.md and changes.json, None for
    the first one. after: a folder with the tables of what is to be published, mostly `folder` itself. Nothing of an
    earlier call stays: a version that was never published leaves no section. The list of files and the manifest name
    both files only once they are written again (`dataset.catalog.recovery.export_if_needed`). Raises DatasetError
    where a table
    cannot be read or the disk refuses.
    """
    was = None if before is None else DatasetSnapshot.open(before, _version(before) or "the version before")
    found = compare_snapshots(was, DatasetSnapshot.open(after, version))
    content = {"version": version, "previous": None if before is None else _version(before), **found.as_json()}
    # The root of a version is known once its changes are written: a file cannot hold the hash of itself.
    del content["after"]["root"]
    write_text(folder / manifest.CHANGES, folder, json.dumps(content, indent=1, sort_keys=True) + "\n")
    write_text(folder / manifest.CHANGELOG, folder, _text(before, version, found))
    return found


def update_pending_changelog(repository: Repository, head: str | None, folder: Path, version: str) -> Difference | None:
    """Write what `folder` changes against the commit `head` (None: against nothing), and its list of files again.

    None, and nothing is written, where the folder has no catalog to write its tables from. The folder must be locked.
    """
    if not (folder / HIDDEN / "catalog.sqlite").is_file():
        return None
    with TemporaryDirectory(prefix="filtercrawl-") as scratch:
        before = None
        if head is not None:
            before = Path(scratch)
            there = repository.files(head)
            paths = [*files_to_compare(there), *({manifest.CHANGELOG, manifest.CHANGES} & there.keys())]
            for path in paths:
                if (folder / path).is_file() and there[path].is_file(folder / path):
                    (before / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / path, before / path)  # sketches of a source where nothing is new
            repository.fetch(paths, head, before)
            if manifest.PATH not in there:
                before = None  # a repo that nobody has published to yet
        found = write(before, folder, version, folder)
    with Catalog(folder) as catalog:
        catalog.set_meta("stale", "1")
        export_if_needed(folder, catalog)
    return found


def section(version: str, found: Difference) -> str:
    """Return what changed in a version as a section of Markdown."""
    told = "\n".join(format_difference(found, escape)) or "- nothing but what is written about it"
    return f"## {escape(version)}\n\n{heading(found)}\n\n{told}\n"


def _text(before: Path | None, version: str, found: Difference) -> str:
    earlier = ""
    if before is not None and (before / manifest.CHANGELOG).is_file():
        earlier = (before / manifest.CHANGELOG).read_text("utf-8", errors="replace")
    sections = [f"## {part.rstrip()}\n" for part in _SECTION.split(earlier)[1:]]
    return "\n".join([_TITLE, section(version, found), *sections[: SECTIONS - 1]])


def _version(folder: Path) -> str | None:
    """Return the version that a folder's changes.json is of."""
    try:
        stated = json.loads((folder / manifest.CHANGES).read_bytes()).get("version")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return stated if isinstance(stated, str) else None
