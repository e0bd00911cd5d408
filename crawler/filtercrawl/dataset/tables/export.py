"""Write the published folder from the catalog's rows: those parts of it whose rows have changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.card import card
from filtercrawl.dataset.card.body import CardContext, summary
from filtercrawl.dataset.card.configs import LISTED_FILES, build_configs
from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.croissant import render_croissant
from filtercrawl.dataset.card.figures import card_figures
from filtercrawl.dataset.card.release import read_release
from filtercrawl.dataset.files import manifest
from filtercrawl.dataset.files.atomic import remove, write_text
from filtercrawl.dataset.files.parquet import write_table
from filtercrawl.dataset.files.table_files import OTHER_FILES
from filtercrawl.dataset.schema.arrow import FILES
from filtercrawl.dataset.tables.card_picture import write_picture
from filtercrawl.dataset.tables.part_records import ExportRecord
from filtercrawl.dataset.tables.part_writer import listing_of
from filtercrawl.dataset.tables.picture_choice import PictureChoice
from filtercrawl.dataset.tables.rows import Rows
from filtercrawl.dataset.tables.subsets import SubsetCheck, subset_configs
from filtercrawl.dataset.tables.table_writer import write_tables

__all__ = ["Exported", "Rows", "export"]


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

    A part of a table is written where a row of it has changed, or where its file is not as it was written. All new
    parts are put in their place together, and the files that they replace removed, before the card tells of them; the
    last file of a table is removed after the card has stopped listing it, so that a reader always finds what the card
    lists. Killed at any point, the next export ends with the same bytes.

    Args:
        folder: The dataset folder.
        rows: The rows of all tables.

    Raises:
        DatasetError: The disk refuses, the header of the card cannot be read, or a layers file is not what was written.
    """
    found = _read_card(folder)
    rows.spread_changes()
    changed_models = rows.changed_models()
    plan = rows.plan_parts(changed_models)
    before = rows.last_export(plan.parts.keys() - plan.changed)
    subsets = SubsetCheck(folder, before.subsets)
    subsets.check(rows, changed_models)
    tables = write_tables(folder, rows, plan, before, changed_models)
    changed = set(tables.changed)
    counts = DatasetCounts()
    for record in tables.parts.values():
        counts.add(record.counts)
    fitting = subsets.fitting()
    free = tables.redistributable(rows) if 0 < counts.redistributable <= LISTED_FILES else []
    release = read_release(folder, tables.digest("index"))
    picture = before.picture
    if tables.preview.changed:
        choice = PictureChoice()
        for row in chain.from_iterable(tables.preview.rows.values()):
            choice.offer(row)
        picture, drawn = write_picture(folder, choice.candidates(), rows.samples)
        changed.update(drawn)
    configs = list(build_configs(tables.by_name, counts, free))
    described = render_croissant(summary(counts), rows.dataset_id, configs, release) if configs else None
    if described is not None and write_text(folder / manifest.CROISSANT, folder, described):
        changed.add(manifest.CROISSANT)
    obsolete = [path for path, what in ((manifest.PICTURE, picture), (manifest.CROISSANT, described)) if what is None]
    others = list(manifest.other_files(folder, {*tables.paths, *tables.obsolete, *obsolete, OTHER_FILES}))
    if listing := write_table(folder, OTHER_FILES, FILES, listing_of([*tables.listed, *others])):
        tables.add("files", listing)
        changed.update([OTHER_FILES] if listing.changed else [])
    else:
        obsolete.append(OTHER_FILES)
    about = CardContext(
        dataset_id=rows.dataset_id,
        configs=[*build_configs(tables.by_name, counts, free), *subset_configs(fitting, others)],
        counts=counts,
        figures=card_figures(folder),
        picture=picture,
        release=release,
        others=frozenset(file.path for file in others),
    )
    text = found.render(about)
    root = manifest.root_hash([*tables.by_name.get("files", ()), manifest.file_entry(card.PATH, text)])
    totals = {"models": counts.outcomes.total(), "layers": counts.layers, "kernels": counts.kernels}
    stated = manifest.manifest_text(rows.dataset_id, root, tables.by_name, totals)
    for path, content in ((card.PATH, text), (manifest.PATH, stated)):
        if write_text(folder / path, folder, content):
            changed.add(path)
    changed |= {path for path in (*tables.obsolete, *obsolete) if remove(folder / path)}
    rows.put_export(
        plan,
        ExportRecord(
            parts=tables.written,
            preview=tables.preview_files,
            preview_digest=tables.preview.digest,
            picture=picture,
            subsets=subsets.digests,
        ),
    )
    return Exported(counts=totals, changed=tuple(sorted(changed)), root=root)


def _read_card(folder: Path) -> card.Card:
    try:
        return card.Card.parse((folder / card.PATH).read_bytes().decode())
    except FileNotFoundError:
        return card.Card({}, "")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{card.PATH}: cannot be read ({error}); fix or delete it") from error
