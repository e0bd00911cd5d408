"""Write the change log of a version: `changes.json`, and the newest section of `CHANGES.md`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Final

from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.card.release import Release
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import write_text
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.files.table_files import paths_of
from filtercrawl.dataset.files.temporary_folder import temporary_folder
from filtercrawl.dataset.files.unpublished import CATALOG
from filtercrawl_publish.comparison.compare import compare_snapshots
from filtercrawl_publish.comparison.difference import Difference
from filtercrawl_publish.comparison.snapshot import DatasetSnapshot, files_to_compare
from filtercrawl_publish.markdown_text import escape_markdown
from filtercrawl_publish.rendering import text_environment
from filtercrawl_publish.repository.base import Repository

__all__ = ["MAX_SECTIONS", "render_changelog", "update_pending_changelog", "write_changelog"]

# Versions in CHANGES.md; each version's own changes.json stays at its tag.
MAX_SECTIONS: Final = 200
_SECTION: Final = re.compile(r"^## ", re.MULTILINE)


def write_changelog(before: Path | None, after: Path, release: Release, folder: Path) -> Difference:
    """Compare the last version with a new one and write both files, each atomically.

    Sections of versions that were never published disappear. The file list and the manifest include the new content
    only after the next export.

    Args:
        before: A folder with the tables of the last version (`files_to_compare`), CHANGES.md and changes.json; None
            for the first version.
        after: A folder with the tables of the new version, usually `folder`.
        release: The new version.
        folder: Where to write.

    Raises:
        DatasetError: A table cannot be read, or a file cannot be written.
    """
    previous = None if before is None else _version_of(before)
    before_snapshot = None if before is None else DatasetSnapshot.open(before, previous or "the last version")
    difference = compare_snapshots(before_snapshot, DatasetSnapshot.open(after, release.version))
    listed = {file.path: file for file in DatasetFolder(after).files()}
    index = [listed[path] for path in paths_of(listed, "index")]
    content = {
        "version": release.version,
        "previous": previous,
        "repository": release.hub_id,
        "space": release.space_id,
        "index_digest": FileTotals.of(index).digest if index else None,
        **difference.to_dict(),
    }
    del content["after"]["root"]  # the root hash covers this file, so the file cannot contain it
    write_text(folder / manifest.CHANGES, folder, json.dumps(content, indent=1, sort_keys=True) + "\n")
    earlier = None if before is None else before / manifest.CHANGELOG
    text = earlier.read_text("utf-8", errors="replace") if earlier is not None and earlier.is_file() else ""
    write_text(folder / manifest.CHANGELOG, folder, render_changelog(release.version, difference, text))
    return difference


def update_pending_changelog(
    repository: Repository, head: str | None, folder: Path, release: Release
) -> Difference | None:
    """Write the change log of a staged version, and export the file list again.

    Args:
        repository: Where the last version is.
        head: Its commit; None for the first version.
        folder: The dataset folder; must be locked.
        release: The new version.

    Returns:
        The difference; None, and nothing is written, for a folder without a catalog.
    """
    if not (folder / CATALOG).is_file():
        return None
    with temporary_folder() as temporary:
        before = None
        if head is not None:
            before = temporary
            published = repository.files(head)
            paths = [*files_to_compare(published), *({manifest.CHANGELOG, manifest.CHANGES} & published.keys())]
            for path in paths:
                if (folder / path).is_file() and published[path].is_file(folder / path):
                    (before / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / path, before / path)  # saves the download of unchanged sketches
            repository.fetch(paths, head, before)
            if manifest.PATH not in published:
                before = None  # a repository without published versions
        difference = write_changelog(before, folder, release, folder)
    with Catalog(folder) as catalog:
        catalog.set_meta("stale", "1")
        export_if_needed(folder, catalog)
    return difference


def render_changelog(version: str, difference: Difference, earlier: str = "") -> str:
    """Return CHANGES.md.

    Args:
        version: Name of the new version.
        difference: What changed in it.
        earlier: CHANGES.md of the last version.
    """
    sections = [f"## {section.rstrip()}" for section in _SECTION.split(earlier)[1:]]
    template = text_environment("filtercrawl_publish.comparison", escape_markdown).get_template("changes.md.j2")
    return template.render(
        version=version,
        difference=difference,
        changes=difference.as_markdown(escape_markdown),
        earlier_sections=sections[: MAX_SECTIONS - 1],
    )


def _version_of(folder: Path) -> str | None:
    """Return the version in a folder's changes.json."""
    try:
        version = json.loads((folder / manifest.CHANGES).read_bytes()).get("version")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return version if isinstance(version, str) else None
