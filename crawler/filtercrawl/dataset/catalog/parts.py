"""Which parts the published tables have, which of them are to be written, and what was written of each."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from filtercrawl.dataset.card.counts import DatasetCounts
from filtercrawl.dataset.card.figures import KernelPicture
from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing
from filtercrawl.dataset.catalog.changes import ChangeTracking
from filtercrawl.dataset.catalog.damage import load_json, rows_as_written
from filtercrawl.dataset.files.parquet import Table
from filtercrawl.dataset.files.table_files import PARTED, Part
from filtercrawl.dataset.schema.arrow import TABLES
from filtercrawl.dataset.schema.version_order import UNRELEASED
from filtercrawl.dataset.tables.part_records import ExportRecord, PartPlan, PartRecord
from filtercrawl.dataset.tables.partition import (
    PART_ROWS,
    Size,
    generations,
    leaf_with,
    leaves,
    node_sizes,
    place_range,
)

# Every release in turn: an index of 100,000 checkpoints is not read through for the few of them.
_RELEASES: Final = """
    WITH RECURSIVE found(release) AS (
        SELECT min(coalesce(first_release, '')) FROM models UNION ALL
        SELECT (SELECT min(coalesce(first_release, '')) FROM models WHERE coalesce(first_release, '') > release)
        FROM found WHERE release IS NOT NULL
    ) SELECT release FROM found WHERE release IS NOT NULL
"""
# The files of `preview` are noted under this name; parts have others.
_PREVIEW: Final = "preview"
_NO_ROWS: Final = Size(0, 0)
_IN_PART: Final = "coalesce(first_release, '') IN (SELECT value FROM json_each(?)) AND place >= ? AND place < ?"


class PartTables(ChangeTracking):
    """Keeps the partition of the tables; part of the catalog.

    Attributes:
        part_rows: Rows of `models` and `index` in a part, at most.
    """

    part_rows: int = PART_ROWS

    def plan_parts(self, changed: Sequence[str]) -> PartPlan:
        """Return the parts of the tables, and which of them have other rows than were written.

        All have where a version joined earlier ones to one generation, and where the columns of a table changed.

        Args:
            changed: Ids of the checkpoints whose rows have changed.
        """
        generation_of = self._generations()
        releases = _inverse(generation_of)
        first = sorted(releases[""])
        layout = hashlib.sha256(json.dumps([first, _schemas(), self.part_rows]).encode()).hexdigest()
        known = self._sizes() if self._fact("layout") == layout else {}
        touched = self._touched(changed, generation_of, known.keys())
        parts: dict[Part, Size] = {}
        stale: set[Part] = set()
        for generation, names in releases.items():
            before = known.get(generation, {})
            dirty = {leaf_with(before, place) for place in touched[generation]} if before else set()
            sizes = {bits: size for bits, size in before.items() if bits not in dirty}
            sizes |= {bits: self._measure(names, bits) for bits in dirty}
            nodes = node_sizes(sizes)

            def measure(bits: str, nodes: Mapping[str, Size] = nodes, names: Sequence[str] = names) -> Size:
                return nodes[bits] if bits in nodes else self._measure(names, bits)

            for bits, size in leaves(measure, limit=self.part_rows):
                part = Part(bits, generation)
                parts[part] = size
                if bits not in before or bits in dirty:
                    stale.add(part)
        return PartPlan(parts=parts, changed=frozenset(stale), layout=layout)

    def models_in(self, part: Part) -> list[str]:
        """Return the ids of the checkpoints in a part, in order."""
        releases = _inverse(self._generations()).get(part.generation, [])
        sql = f"SELECT model_id FROM models WHERE {_IN_PART}"  # noqa: S608 - constant
        rows = self._db.execute(sql, (json.dumps(releases), *place_range(part.bits)))
        return sorted(model_id for (model_id,) in rows)

    def last_export(self, parts: Iterable[Part]) -> ExportRecord:
        """Return what the last export wrote of parts, and of the preview."""
        with rows_as_written():
            about = load_json(self._fact("export") or "{}")
            return ExportRecord(
                parts={part: self._recorded(part) for part in parts},
                preview=tuple(self._tables(_PREVIEW)),
                preview_digest=about.get("preview", ""),
                picture=KernelPicture.from_json(about["picture"]) if about.get("picture") else None,
                subsets=about.get("subsets", {}),
            )

    def redistributable_files(self, parts: Iterable[Part]) -> list[Table]:
        """Return the layers files of parts that everybody may redistribute, with their rows."""
        sql = "SELECT redistributable FROM parts WHERE generation = ? AND bits = ?"
        found = (self._db.execute(sql, (part.generation, part.bits)).fetchone() for part in parts)
        with rows_as_written():
            return [Table(**entry, changed=False) for row in found if row for entry in load_json(row[0])]

    def put_export(self, plan: PartPlan, record: ExportRecord) -> None:
        """Note what an export wrote: nothing is changed any more.

        Args:
            plan: The parts there are now.
            record: What was written of some of them, and of everything else.
        """
        about = {"preview": record.preview_digest, "subsets": record.subsets}
        if record.picture is not None:
            about["picture"] = asdict(record.picture)
        facts = {"layout": plan.layout, "export": json.dumps(about)}
        with all_or_nothing(self._db):
            for part in self._known_parts():
                if part not in plan.parts:
                    self._put_part(part, None)
            for part, written in record.parts.items():
                self._put_part(part, written, plan.parts[part])
            self._put_tables(_PREVIEW, record.preview)
            self._db.execute("DELETE FROM changed_models")
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def _recorded(self, part: Part) -> PartRecord:
        sql = "SELECT counts FROM parts WHERE generation = ? AND bits = ?"
        (counts,) = self._db.execute(sql, (part.generation, part.bits)).fetchone()
        return PartRecord(counts=DatasetCounts.from_json(load_json(counts)), tables=tuple(self._tables(part.name)))

    def _put_part(self, part: Part, record: PartRecord | None, size: Size = _NO_ROWS) -> None:
        """Replace what is noted of a part; None to forget it."""
        self._db.execute("DELETE FROM parts WHERE generation = ? AND bits = ?", (part.generation, part.bits))
        self._put_tables(part.name, () if record is None else record.tables)
        if record is not None:
            counts = json.dumps(record.counts.to_json())
            free = json.dumps([_entry(file) for file in record.redistributable])
            row = (part.generation, part.bits, size.rows, size.checkpoints, counts, free)
            self._db.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?)", row)

    def _tables(self, part: str) -> list[Table]:
        sql = "SELECT path, rows, size, sha256 FROM part_files WHERE part = ? ORDER BY path"
        return [
            Table(path=path, rows=rows, size=size, sha256=sha256, changed=False)
            for path, rows, size, sha256 in self._db.execute(sql, (part,))
        ]

    def _put_tables(self, part: str, tables: Iterable[Table]) -> None:
        self._db.execute("DELETE FROM part_files WHERE part = ?", (part,))
        rows = [(file.path, part, file.rows, file.size, file.sha256) for file in tables]
        self._db.executemany("INSERT INTO part_files VALUES (?, ?, ?, ?, ?)", rows)

    def _generations(self) -> dict[str, str]:
        return generations(release for (release,) in self._db.execute(_RELEASES))

    def _known_parts(self) -> list[Part]:
        return [Part(bits, generation) for generation, bits in self._db.execute("SELECT generation, bits FROM parts")]

    def _sizes(self) -> dict[str, dict[str, Size]]:
        sizes: defaultdict[str, dict[str, Size]] = defaultdict(dict)
        for generation, bits, rows, n in self._db.execute("SELECT generation, bits, rows, checkpoints FROM parts"):
            sizes[generation][bits] = Size(rows, n)
        return dict(sizes)

    def _touched(
        self, changed: Sequence[str], generation_of: Mapping[str, str], before: Iterable[str]
    ) -> defaultdict[str, set[int]]:
        """Return the places, by generation, where rows of changed checkpoints are or were."""
        known = set(before)
        touched: defaultdict[str, set[int]] = defaultdict(set)
        sql = """
            SELECT coalesce(first_release, ''), release_before, place FROM json_each(?)
            JOIN models ON model_id = value LEFT JOIN changed_models USING (model_id)
        """
        for release, earlier, place in self._db.execute(sql, (json.dumps(list(changed)),)):
            touched[generation_of[release]].add(place)
            if earlier is not None:
                name = earlier or UNRELEASED
                touched[name if name in known else ""].add(place)
        return touched

    def _measure(self, releases: Sequence[str], bits: str) -> Size:
        sql = f"SELECT coalesce(sum(size), 0), count(*) FROM models WHERE {_IN_PART}"  # noqa: S608 - constant
        return Size(*self._db.execute(sql, (json.dumps(list(releases)), *place_range(bits))).fetchone())

    def _fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE key = ?", (name,)).fetchone()
        return None if row is None else str(row[0])


def _inverse(generation_of: Mapping[str, str]) -> dict[str, list[str]]:
    releases: defaultdict[str, list[str]] = defaultdict(list, {"": []})
    for release, generation in generation_of.items():
        releases[generation].append(release)
    return dict(releases)


def _schemas() -> list[str]:
    return [f"{name}: {TABLES[name]}" for name in PARTED]


def _entry(file: Table) -> dict[str, Any]:
    return {"path": file.path, "rows": file.rows, "size": file.size, "sha256": file.sha256}
