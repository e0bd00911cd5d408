"""Write the published folder from the catalog's rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.card.body import CardContext, summary
from filtercrawl.dataset.card.configs import build_configs
from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.croissant import render_croissant
from filtercrawl.dataset.card.figures import card_figures
from filtercrawl.dataset.card.release import read_release
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_text
from filtercrawl.dataset.files.parquet import ContentDefinedBoundary, File, Row, Table, record_batches, write_table
from filtercrawl.dataset.files.table_files import TablePartitions, base_path, files_of
from filtercrawl.dataset.schema.arrow import FILES, TABLES
from filtercrawl.dataset.schema.column import TableRow
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables import effective, preview, samples, sketches
from filtercrawl.dataset.tables.card_picture import write_picture
from filtercrawl.dataset.tables.picture_choice import PictureChoice
from filtercrawl.dataset.tables.samples import Samples
from filtercrawl.dataset.tables.subsets import SubsetCheck, subset_configs

# Row groups of `index` have some hundred kilobytes.
_CUT: Final = ContentDefinedBoundary(key="layer_id", one_in=1_000)
_SAFE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
T = TypeVar("T")


class Rows(Protocol):
    """The rows that are exported, as the catalog provides them."""

    @property
    def dataset_id(self) -> str:
        """The id of the dataset, which it keeps for all its versions."""
        ...

    def releases(self) -> dict[str, str | None]:
        """Return model_id -> first release of the checkpoints that keep weights."""
        ...

    def models(self) -> Iterator[ModelRow]:
        """Yield the rows of `models` by model_id."""
        ...

    def index(self) -> Iterator[IndexRow]:
        """Yield the rows of `index` by first release, by model_id and by their order in the file."""
        ...

    def ledger_sources(self) -> list[str]: ...

    def ledger(self, source: str) -> Iterator[LedgerRow]:
        """Yield the rows of `ledger` of one source."""
        ...

    def samples(self, layer_sha256: str) -> Samples | None:
        """Return the kernels picked at crawl time."""
        ...

    def sketch_sources(self) -> list[str]: ...

    def sketches(self, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield model_id and SKETCHES row of the layers whose weights one source's checkpoints keep, as in `index`."""
        ...

    def effective_releases(self) -> dict[str, str | None]:
        """Return model_id -> first release of the checkpoints with rows of `effective`."""
        ...

    def effective_sources(self) -> list[str]: ...

    def effective(self, source: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield model_id and EFFECTIVE rows of the checkpoints of one source, in the order of `index`."""
        ...

    def renames(self) -> Iterator[RenameRow]: ...

    def withdrawn(self) -> Iterator[WithdrawnRow]: ...

    def sources(self) -> Iterator[SourceRow]: ...

    def layer_files(self) -> Iterator[tuple[str, int, str]]:
        """Yield path, size and sha256 of the immutable files, as they were written."""
        ...


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export did.

    Attributes:
        counts: Numbers of checkpoints (`models`), layers and kernels.
        changed: Paths that were written or removed.
        root: The root hash of the published files, as the manifest states it.
    """

    counts: dict[str, int]
    changed: tuple[str, ...]
    root: str


def export(folder: Path, rows: Rows) -> Exported:
    """Write all of the dataset that follows from `rows`; files that would stay the same are not touched.

    A file is written before the card lists it and deleted after the card has stopped listing it, so that a reader
    always finds what the card lists. Killed at any point, the next export ends with the same bytes.

    Args:
        folder: The dataset folder.
        rows: The rows of all tables.

    Raises:
        DatasetError: The disk refuses, the header of the card cannot be read, or a layers file is not what was written.
    """
    found = _read_card(folder)
    layers = manifest.layer_files(folder, rows.layer_files())
    counts, choice, subsets = DatasetCounts(), PictureChoice(), SubsetCheck(folder)

    def watch(row: IndexRow) -> None:
        choice.offer(row)
        subsets.offer(row)

    tables = _write_tables(folder, rows, counts, watch)
    fitting = subsets.fitting()
    release = read_release(folder, next((table.sha256 for table in tables.get("index", ())), None))
    picture, changed = write_picture(folder, choice.candidates(), rows.samples)
    configs = list(build_configs(tables, layers, counts))
    described = render_croissant(summary(counts), rows.dataset_id, configs, release) if configs else None
    if described is not None and write_text(folder / manifest.CROISSANT, folder, described):
        changed.append(manifest.CROISSANT)
    written = [table for group in tables.values() for table in group]
    paths = {table.path for table in written}
    obsolete = [path for path in _derived_paths(folder) if path not in paths]
    obsolete += [path for path, what in ((manifest.PICTURE, picture), (manifest.CROISSANT, described)) if what is None]
    others = list(manifest.other_files(folder, {*paths, *obsolete, manifest.TABLE}))
    files: list[File] = sorted((*layers, *written, *others), key=lambda file: file.path)
    if listing := write_table(folder, manifest.TABLE, FILES, record_batches((vars(file) for file in files), FILES)):
        tables["files"] = [listing]
        written.append(listing)
    else:
        obsolete.append(manifest.TABLE)

    about = CardContext(
        dataset_id=rows.dataset_id,
        configs=[*build_configs(tables, layers, counts), *subset_configs(fitting, others)],
        counts=counts,
        figures=card_figures(folder),
        picture=picture,
        release=release,
        others=frozenset(file.path for file in others),
    )
    text = found.render(about)
    files.append(manifest.file_entry(card.PATH, text))
    totals = {"models": counts.outcomes.total(), "layers": counts.layers, "kernels": counts.kernels}
    changed += [table.path for table in written if table.changed]
    for path, content in ((card.PATH, text), (manifest.PATH, manifest.manifest_text(rows.dataset_id, files, totals))):
        if write_text(folder / path, folder, content):
            changed.append(path)
    changed += [path for path in obsolete if remove(folder / path)]
    return Exported(counts=totals, changed=tuple(sorted(changed)), root=manifest.root_hash(files))


def _read_card(folder: Path) -> card.Card:
    try:
        return card.Card.parse((folder / card.PATH).read_bytes().decode())
    except FileNotFoundError:
        return card.Card({}, "")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{card.PATH}: cannot be read ({error}); fix or delete it") from error


def _write_tables(
    folder: Path, rows: Rows, counts: DatasetCounts, watch: Callable[[IndexRow], None]
) -> dict[str, list[Table]]:
    """Write every table but `files`; those without rows are not among the result.

    Args:
        folder: The dataset folder.
        rows: The rows of all tables.
        counts: Counts what is written.
        watch: Receives every row of `index`.
    """
    choice, parts = preview.LayerReservoir(), TablePartitions(rows.releases())
    effective_parts = TablePartitions(rows.effective_releases())

    def index() -> Iterator[Row]:
        for row in rows.index():
            counts.add_layer(row)
            choice.offer(row)
            watch(row)
            yield row.to_arrow()

    def models() -> Iterator[ModelRow]:
        for row in rows.models():
            counts.add_model(row)
            yield row

    def table(name: str, content: Iterable[pa.RecordBatch], path: str | None = None) -> Iterator[Table]:
        written = write_table(folder, path or f"data/{name}.parquet", TABLES[name], content)
        if written:
            yield written

    def rows_of(name: str, content: Iterable[TableRow], path: str | None = None) -> Iterator[Table]:
        return table(name, record_batches((row.to_arrow() for row in content), TABLES[name]), path)

    def parted(
        name: str,
        content: Iterable[tuple[str, T]],
        made: Callable[[Iterator[T]], Iterable[pa.RecordBatch]],
        path: str | None = None,
    ) -> list[Table]:
        split = parts.split(content, f"data/{path or name}")
        return [written for path, group in split for written in table(name, made(group), path)]

    def stored(index: Iterable[IndexRow]) -> Iterator[tuple[str, IndexRow]]:
        return ((row.model_id, row) for row in index if row.stored)

    found = {
        "index": list(table("index", record_batches(index(), TABLES["index"], cut=_CUT))),
        "models": list(rows_of("models", models())),
        "ledger": [
            written
            for source in sorted(rows.ledger_sources())
            for written in rows_of("ledger", rows.ledger(source), f"data/ledger/{_safe(source)}.parquet")
        ],
        "samples": parted("samples", stored(rows.index()), lambda group: samples.sample_batches(group, rows.samples)),
        "sketches": [
            written
            for source in sorted(rows.sketch_sources())
            for written in parted(
                "sketches", rows.sketches(source), sketches.sketch_batches, f"sketches/{_safe(source)}"
            )
        ],
        "effective": [
            written
            for source in sorted(rows.effective_sources())
            for path, group in effective_parts.split(rows.effective(source), f"data/effective/{_safe(source)}")
            for written in table("effective", effective.effective_batches(group), path)
        ],
        "preview": parted("preview", stored(choice.rows()), lambda group: preview.table(group, rows.samples)),
        "renames": list(rows_of("renames", rows.renames())),
        "withdrawn": list(rows_of("withdrawn", rows.withdrawn())),
        "sources": list(rows_of("sources", rows.sources())),
    }
    return {name: group for name, group in found.items() if group}


def _derived_paths(folder: Path) -> Iterator[str]:
    """Yield the tables in the folder, except the list of files."""
    for path in (path for name in TABLES if name != "files" for path in files_of(folder, name)):
        yield path.relative_to(folder).as_posix()


def _safe(source: str) -> str:
    """Return the name of a source as part of a path; plugins are free in how they call theirs."""
    if _SAFE.fullmatch(source) and base_path(source) == source:
        return source
    plain = re.sub(r"[^a-z0-9.]+", "-", source.lower()).strip("-.")[:40]
    return f"{plain or 'source'}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
