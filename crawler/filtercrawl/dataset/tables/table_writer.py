"""Write the tables of the dataset: the parts that have changed, and the small tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from filtercrawl.dataset.card.counts import FileTotals
from filtercrawl.dataset.files.manifest import ABOUT_RUNS, PICTURE
from filtercrawl.dataset.files.parquet import Table, record_batches
from filtercrawl.dataset.files.staged_tables import StagedTables
from filtercrawl.dataset.files.table_files import OTHER_FILES, Part, table_of, table_path
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.tables.part_records import ExportRecord, PartPlan, PartRecord, PreviewPlan
from filtercrawl.dataset.tables.part_writer import write_part
from filtercrawl.dataset.tables.preview import STYLE, PictureKey, pictures_in
from filtercrawl.dataset.tables.preview import table as preview_batches
from filtercrawl.dataset.tables.rows import Rows


@dataclass(frozen=True, kw_only=True)
class WrittenTables:
    """The tables of a dataset after they were written, but for what `files` lists besides them.

    Attributes:
        parts: What is in each part.
        written: Those of them that were written now.
        preview: The layers of `preview`.
        preview_files: Its files.
        unlisted: Files that no part lists: these, and the small tables.
        obsolete: Files whose table has no rows any more; the card may still list them.
        changed: Paths of what was written or removed.
        by_name: The files of each table, in the order of its rows.
    """

    parts: dict[Part, PartRecord]
    written: dict[Part, PartRecord]
    preview: PreviewPlan
    preview_files: tuple[Table, ...]
    unlisted: tuple[Table, ...]
    obsolete: tuple[str, ...]
    changed: frozenset[str]
    by_name: dict[str, list[Table]] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        """The paths of all files."""
        return {table.path for group in self.by_name.values() for table in group}

    @property
    def listed(self) -> list[Table]:
        """Those of `unlisted` that `files` lists."""
        return [table for table in self.unlisted if table.path not in ABOUT_RUNS]

    def add(self, name: str, table: Table) -> None:
        """Add a file of a table."""
        self.by_name[name] = sorted([*self.by_name.get(name, ()), table], key=lambda file: file.path)

    def digest(self, name: str) -> str | None:
        """Return a digest of the files of a table; None where it has none."""
        return FileTotals.of(self.by_name[name]).digest if name in self.by_name else None

    def redistributable(self, rows: Rows) -> list[Table]:
        """Return the layers files that everybody may redistribute, by path."""
        files = rows.redistributable_files(self.parts.keys() - self.written.keys())
        files += [file for record in self.written.values() for file in record.redistributable]
        return sorted(files, key=lambda file: file.path)


def write_tables(
    folder: Path, rows: Rows, plan: PartPlan, before: ExportRecord, changed: Collection[str]
) -> WrittenTables:
    """Write the parts that a plan names, those whose files are not as they were written, and the small tables.

    Args:
        folder: The dataset folder.
        rows: The rows of all tables.
        plan: Which parts there are.
        before: What the last export wrote of the parts that have not changed, and of the preview.
        changed: Ids of the checkpoints whose rows have changed.
    """
    kept = {part: record for part, record in before.parts.items() if _are_there(folder, record.tables)}
    known = _known_preview(folder, before)
    with StagedTables(folder) as staged:
        written = {part: write_part(folder, part, rows, staged) for part in sorted(plan.parts.keys() - kept.keys())}
        chosen = rows.plan_preview(changed, known)
        drawn = pictures_in(folder / file.path for file in before.preview) if known and chosen.changed else {}
        previews = tuple(_write_preview(chosen, rows, staged, drawn)) if chosen.changed else before.preview
        unlisted = (*previews, *_write_small(rows, staged))
        parts = {**kept, **written}
        tables = [*unlisted, *(table for record in parts.values() for table in record.tables)]
        by_name: dict[str, list[Table]] = {}
        for table in sorted(tables, key=lambda file: file.path):
            by_name.setdefault(table_of(table.path) or "", []).append(table)
        paths = {table.path for table in tables}
        obsolete = [path for path in _table_paths(folder) if path not in paths and path != OTHER_FILES]
        removed = staged.install(path for path in obsolete if table_of(path) in by_name)
    return WrittenTables(
        parts=parts,
        written=written,
        preview=replace(chosen, digest=f"{STYLE}:{chosen.digest}"),
        preview_files=previews,
        unlisted=unlisted,
        obsolete=tuple(path for path in obsolete if path not in removed),
        changed=frozenset([*(table.path for table in tables if table.changed), *removed]),
        by_name=by_name,
    )


def _write_preview(
    plan: PreviewPlan, rows: Rows, staged: StagedTables, drawn: Mapping[PictureKey, bytes]
) -> Iterator[Table]:
    for part, layers in plan.rows.items():
        content = preview_batches(layers, rows.samples, drawn)
        if table := staged.write(table_path("preview", part), TABLES["preview"], content):
            yield table


def _write_small(rows: Rows, staged: StagedTables) -> Iterator[Table]:
    """Write the tables that have one file each."""
    content: dict[str, Iterable[TableRow]] = {
        "renames": rows.renames(),
        "withdrawn": rows.withdrawn(),
        "sources": rows.sources(),
        "runs": rows.runs(),
    }
    for name, entries in content.items():
        batches = record_batches((entry.to_arrow() for entry in entries), TABLES[name])
        if table := staged.write(table_path(name), TABLES[name], batches):
            yield table


def _known_preview(folder: Path, before: ExportRecord) -> str:
    """Return the digest of the layers of `preview` that were written before; empty where that is of no use."""
    style, _, digest = before.preview_digest.partition(":")
    is_there = (before.picture is None or (folder / PICTURE).is_file()) and _are_there(folder, before.preview)
    return digest if is_there and style == STYLE else ""


def _are_there(folder: Path, tables: Sequence[Table]) -> bool:
    """Tell whether files have the sizes with which they were written."""
    try:
        return all((folder / table.path).stat().st_size == table.size for table in tables)
    except OSError:
        return False


def _table_paths(folder: Path) -> Iterator[str]:
    """Yield the paths of all tables in the folder, of the older layout too."""
    for pattern in ("*.parquet", "*/*.parquet"):
        for path in (folder / "data").glob(pattern):
            name = path.relative_to(folder).as_posix()
            if table_of(name) not in (None, "layers"):
                yield name
