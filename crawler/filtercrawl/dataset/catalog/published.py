"""Query the catalog for the rows of each published table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

import pyarrow as pa

from filtercrawl.config.spdx import is_redistributable
from filtercrawl.dataset.catalog.encoding import decode_layer, decode_model, samples_key
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables import effective, sketches
from filtercrawl.dataset.tables.samples import Samples

# Who keeps the weights among duplicates: the earliest release, then the smallest model_id.
RANK: Final = "release_order(first_release), model_id"
# The order of checkpoints in a table that has many rows of each: what a version adds comes last, so that the bytes
# before it stay what they were, and a Hub that knows them is sent the end only.
_ORDER: Final = "release_order(models.first_release), models.model_id"
_EFFECTIVE: Final = "FROM effective JOIN models USING (model_id) WHERE json_extract(record, '$.license_policy') IS NULL"


class PublishedTables:
    """Implements `filtercrawl.dataset.tables.export.Rows`."""

    _db: sqlite3.Connection

    def layer_files(self) -> Iterator[tuple[str, int, str]]:
        yield from self._db.execute("SELECT path, size, sha256 FROM layer_files ORDER BY path")

    def releases(self) -> dict[str, str | None]:
        """Return model_id -> first release of the checkpoints that keep weights."""
        return dict(self._db.execute("SELECT model_id, first_release FROM models WHERE layers_file IS NOT NULL"))

    def models(self) -> Iterator[ModelRow]:
        """Yield the rows of `models`, sorted by model_id."""
        for (record,) in self._db.execute("SELECT record FROM models ORDER BY model_id"):
            yield decode_model(record)

    def index(self) -> Iterator[IndexRow]:
        """Yield the rows of `index`, sorted by first release, by model_id, and then as in the checkpoint."""
        sql = f"""
            SELECT layers.record, models.record, models.fingerprint, models.layers_file, layers.layer_id,
                   first_value(layers.layer_id) OVER (
                       PARTITION BY layers.layer_sha256 ORDER BY models.layers_file IS NULL, {RANK}, position
                   )
            FROM layers JOIN models USING (model_id) ORDER BY {_ORDER}, position
        """  # noqa: S608 - constant
        decode_owner = lru_cache(maxsize=1)(decode_model)  # the layers of a checkpoint are consecutive
        shared = self._shared_files()
        for layer, model, fingerprint, file, layer_id, first in self._db.execute(sql):
            row, owner = decode_layer(layer), decode_owner(model)
            stored = file is not None and row.emitted
            elsewhere = shared.get(fingerprint) if row.emitted and owner.shares_weights else None
            yield replace(
                row,
                file=file if stored else elsewhere,
                row_group=row.row_group if stored else None,
                task=owner.task,
                visual_category=owner.visual_category,
                training_datasets=owner.training_datasets,
                training_dataset=owner.training_datasets[-1] if owner.training_datasets else None,
                architecture=owner.architecture,
                family=owner.family,
                recipe=owner.tag,
                license=owner.license,
                run_id=owner.run_id,
                step=owner.step,
                run_final=owner.run_final,
                duplicate_of=first if row.emitted and first != layer_id else None,
                redistributable=is_redistributable(owner.license),
                effective_sha256=row.effective_sha256 if owner.has_weights else None,
                effective_steps=row.effective_steps if owner.has_weights else None,
                merged_into=row.merged_into if owner.has_weights else None,
            )

    def _shared_files(self) -> dict[str, str]:
        """Return fingerprint -> the file that stores the weights of all checkpoints with these layers."""
        sql = "SELECT fingerprint, layers_file FROM models WHERE fingerprint IS NOT NULL AND layers_file IS NOT NULL"
        return dict(self._db.execute(sql))

    def ledger_sources(self) -> list[str]:
        sql = "SELECT DISTINCT source FROM models WHERE model_id IN (SELECT model_id FROM ledger) ORDER BY source"
        return [source for (source,) in self._db.execute(sql)]

    def ledger(self, source: str) -> Iterator[LedgerRow]:
        """Yield the rows of `ledger` of one source, sorted as `index` is."""
        sql = f"""
            SELECT model_id, tensor, shape, dtype, reason FROM ledger JOIN models USING (model_id)
            WHERE source = ? ORDER BY {_ORDER}, position
        """  # noqa: S608 - constant
        for model_id, tensor, shape, dtype, reason in self._db.execute(sql, (source,)):
            yield LedgerRow(
                model_id=model_id,
                tensor=tensor,
                shape=tuple(json.loads(shape)),
                dtype=dtype,
                outcome="emitted" if reason is None else "skipped",
                reason=reason,
            )

    def samples(self, layer_sha256: str) -> Samples | None:
        """Return the kernels picked from a layer; None where layers of other sizes have the same bytes (zeros do)."""
        sql = "SELECT DISTINCT json_extract(record, '$.taps') FROM layers WHERE layer_sha256 = ?"
        sizes = self._db.execute(sql, (layer_sha256,)).fetchall()
        if len(sizes) != 1:
            return None
        key = samples_key(layer_sha256, sizes[0][0])
        row = self._db.execute("SELECT data FROM samples WHERE layer_sha256 = ?", (key,)).fetchone()
        return None if row is None else Samples.from_bytes(row[0])

    def sketch_sources(self) -> list[str]:
        sql = "SELECT DISTINCT source FROM models WHERE layers_file IS NOT NULL ORDER BY source"
        return [source for (source,) in self._db.execute(sql)]

    def sketches(self, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of `sketches` for the layers whose weights the checkpoints of one source keep, as `index` has them.

        Each behind its model_id. SQLite takes that from the row in which it finds the minimum.
        """
        sql = """
            WITH kept AS (
                SELECT layers.layer_sha256 AS sha256, json_extract(layers.record, '$.kernel') AS kernel, model_id,
                       min(release_order(first_release) || ' ' || model_id || printf(' %08d', position)) AS place
                FROM layers JOIN models USING (model_id)
                WHERE source = ? AND layers_file IS NOT NULL AND layers.layer_sha256 IS NOT NULL
                GROUP BY 1, 2
            )
            SELECT model_id, data FROM sketches JOIN kept
            ON sketches.layer_sha256 = kept.sha256 AND sketches.kernel = kept.kernel ORDER BY place
        """
        for model_id, data in self._db.execute(sql, (source,)):
            yield model_id, sketches.from_bytes(data)

    def effective_releases(self) -> dict[str, str | None]:
        """Return model_id -> first release of the checkpoints whose rows of `effective` are published."""
        sql = f"SELECT model_id, first_release {_EFFECTIVE}"
        return dict(self._db.execute(sql))

    def effective_sources(self) -> list[str]:
        return [source for (source,) in self._db.execute(f"SELECT DISTINCT source {_EFFECTIVE} ORDER BY source")]

    def effective(self, source: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield model_id and rows of `effective` of the checkpoints of one source, sorted as `index` is.

        Weights that a license keeps from being published follow from them: those checkpoints are left out.
        """
        sql = f"SELECT model_id, effective.data {_EFFECTIVE} AND source = ? ORDER BY {_ORDER}"
        for model_id, data in self._db.execute(sql, (source,)):
            yield model_id, effective.from_bytes(data)

    def renames(self) -> Iterator[RenameRow]:
        """Yield the rows of `renames`, sorted by model_id and time."""
        sql = "SELECT model_id, old_name, new_name, seen FROM renames ORDER BY model_id, seen, new_name"
        for model_id, old, new, seen in self._db.execute(sql):
            yield RenameRow(model_id=model_id, old_name=old, new_name=new, seen=datetime.fromisoformat(seen))

    def withdrawn(self) -> Iterator[WithdrawnRow]:
        """Yield the rows of `withdrawn`, sorted by model_id."""
        for model_id, reason, when in self._db.execute("SELECT * FROM withdrawn ORDER BY model_id"):
            yield WithdrawnRow(model_id=model_id, reason=reason, withdrawn=datetime.fromisoformat(when))

    def sources(self) -> Iterator[SourceRow]:
        """Yield the rows of `sources`; a selector that holds a path of this machine is left out of its row."""
        sql = """
            SELECT selector_id, source, selector, plugin, listed, n_offered, ignored FROM selectors
            ORDER BY source, selector_id
        """
        for selector_id, source, selector, plugin, listed, n_offered, ignored in self._db.execute(sql):
            local = PurePath((selector or "").partition(":")[2]).is_absolute()
            yield SourceRow(
                selector_id=selector_id,
                source=source,
                selector=None if local else selector,
                plugin=plugin,
                listed=datetime.fromisoformat(listed) if listed else None,
                n_offered=n_offered,
                ignored=ignored,
            )
