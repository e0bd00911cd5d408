"""What planning a run asks of the checkpoints that the catalog knows: by an index, some hundred at a time."""

from __future__ import annotations

# ruff: noqa: S608 - statements are put together from constants
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from filtercrawl.config.license_policy import METADATA, Policy
from filtercrawl.dataset.catalog.damage import load_json
from filtercrawl.dataset.catalog.encoding import decode_model
from filtercrawl.dataset.schema.model_row import ModelRow

T = TypeVar("T")

# Ids in one query, and rows in one transaction.
BATCH: Final = 500
# The expressions of the indexes: a query must repeat them as they are.
_OFFERED_AS: Final = "coalesce(json_extract(record, '$._offered_as'), json_extract(record, '$.name'))"
_URL: Final = "json_extract(record, '$._url')"
_LICENSE: Final = "json_extract(record, '$.license')"
_RUN: Final = "json_extract(record, '$.run_id')"
_IS_HELD: Final = "outcome NOT IN ('skipped', 'withdrawn')"
_AMONG: Final = "model_id IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, kw_only=True)
class KnownFiles:
    """The files of a checkpoint as they were read last.

    Attributes:
        files: Path and etag of each, the main file first; None where they are not known.
        url: Location of the main file.
    """

    files: tuple[tuple[str | None, str | None], ...] | None
    url: str | None


class KnownModels:
    """Queries for known checkpoints; part of the catalog."""

    _db: sqlite3.Connection

    def models_by_id(self, model_ids: Iterable[str]) -> Iterator[ModelRow]:
        """Yield the rows of these checkpoints that are known, in any order."""
        for batch in batches(model_ids):
            for (record,) in self._db.execute(f"SELECT record FROM models WHERE {_AMONG}", (json.dumps(batch),)):
                yield decode_model(record)

    def files_by_id(self, model_ids: Iterable[str]) -> Mapping[str, KnownFiles]:
        """Return the files of these checkpoints as they were read, of those that are known."""
        sql = f"SELECT model_id, json_extract(record, '$._files'), {_URL} FROM models WHERE {_AMONG}"
        return {
            model_id: KnownFiles(
                files=None if files is None else tuple((path, etag) for path, etag in load_json(files)), url=url
            )
            for batch in batches(model_ids)
            for model_id, files, url in self._db.execute(sql, (json.dumps(batch),))
        }

    def locations_by_id(self, model_ids: Iterable[str]) -> Mapping[str, str | None]:
        """Return the location of the main file of these checkpoints, of those that are known."""
        sql = f"SELECT model_id, {_URL} FROM models WHERE {_AMONG}"
        return {
            model_id: url
            for batch in batches(model_ids)
            for model_id, url in self._db.execute(sql, (json.dumps(batch),))
        }

    def has_location(self, url: str) -> bool:
        """Tell whether the main file of a checkpoint was read from here."""
        return self._db.execute(f"SELECT 1 FROM models WHERE {_URL} = ? LIMIT 1", (url,)).fetchone() is not None

    def has_content_from(self, url: str) -> bool:
        """Tell whether a checkpoint whose main file is here could be read, now or before."""
        sql = f"SELECT 1 FROM models WHERE {_URL} = ? AND json_extract(record, '$.tensors_emitted') IS NOT NULL LIMIT 1"
        return self._db.execute(sql, (url,)).fetchone() is not None

    def model_offered_as(self, source: str, name: str) -> ModelRow | None:
        """Return the row of the checkpoint that its source last offered by this name."""
        sql = f"SELECT record FROM models WHERE source = ? AND {_OFFERED_AS} = ? ORDER BY model_id DESC LIMIT 1"
        row = self._db.execute(sql, (source, name)).fetchone()
        return None if row is None else decode_model(row[0])

    def names_of_source(self, source: str) -> list[str]:
        """Return the names by which a source last offered its checkpoints, sorted."""
        sql = f"SELECT DISTINCT {_OFFERED_AS} FROM models WHERE source = ? ORDER BY 1"
        return [name for (name,) in self._db.execute(sql, (source,))]

    def models_of_source(self, source: str) -> Iterator[ModelRow]:
        """Yield the rows of a source's checkpoints, sorted by the names by which it last offered them."""
        sql = f"SELECT record FROM models WHERE source = ? ORDER BY {_OFFERED_AS}, model_id DESC"
        return (decode_model(record) for (record,) in self._db.execute(sql, (source,)))

    def models_of_run(self, source: str, run_id: str) -> list[ModelRow]:
        """Return the rows of the checkpoints of a training run, sorted by model_id."""
        sql = f"SELECT record FROM models WHERE source = ? AND {_RUN} = ? ORDER BY model_id"
        return [decode_model(record) for (record,) in self._db.execute(sql, (source, run_id))]

    def held_licenses(self) -> list[str | None]:
        """Return the licenses of the checkpoints that the dataset holds something of."""
        # Each in turn: an index of all checkpoints is not read through for the few licenses.
        sql = f"""
            WITH RECURSIVE found(name) AS (
                SELECT min({_LICENSE}) FROM models WHERE {_IS_HELD} UNION ALL
                SELECT (SELECT min({_LICENSE}) FROM models WHERE {_LICENSE} > name AND {_IS_HELD})
                FROM found WHERE name IS NOT NULL
            ) SELECT name FROM found WHERE name IS NOT NULL
        """
        stated: list[str | None] = [name for (name,) in self._db.execute(sql)]
        unknown = f"SELECT 1 FROM models WHERE {_LICENSE} IS NULL AND {_IS_HELD} LIMIT 1"
        return [*stated, None] if self._db.execute(unknown).fetchone() else stated

    def models_beyond(self, license_id: str | None, policy: Policy) -> list[ModelRow]:
        """Return the checkpoints of a license of which the dataset holds more than a policy allows."""
        withheld = "AND json_extract(record, '$.license_policy') IS NULL" if policy == METADATA else ""
        sql = f"SELECT record FROM models WHERE {_LICENSE} IS ? AND {_IS_HELD} {withheld} ORDER BY model_id"
        rows = self._db.execute(sql, (license_id,)).fetchall()
        return [row for row in map(decode_model, (record for (record,) in rows)) if row.exceeds(policy)]

    def layers_files(self) -> Iterator[str]:
        """Yield the paths of the layers files of all checkpoints, sorted."""
        sql = "SELECT layers_file FROM models WHERE layers_file IS NOT NULL ORDER BY layers_file"
        return (path for (path,) in self._db.execute(sql))

    def models_with_file(self, paths: Iterable[str]) -> Iterator[ModelRow]:
        """Yield the checkpoints whose layers files have these paths, in the order of the paths."""
        sql = "SELECT record FROM models WHERE layers_file = ? ORDER BY model_id"
        for path in paths:
            for (record,) in self._db.execute(sql, (path,)):
                yield decode_model(record)


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Split items into lists of at most `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
