"""Query the catalog for the rows of each published table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from filtercrawl.config.spdx import is_redistributable
from filtercrawl.dataset.catalog.damage import load_json
from filtercrawl.dataset.catalog.encoding import decode_layer, decode_model, samples_key
from filtercrawl.dataset.catalog.listings import LAST_LISTED
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.ledger_row import LedgerRow
from filtercrawl.dataset.schema.listing_rows import RenameRow, SourceRow, WithdrawnRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.tables import effective, sketches
from filtercrawl.dataset.tables.samples import Samples


class PublishedTables:
    """The rows of the tables; part of the catalog.

    What layers have in common with equal ones of other checkpoints is as of the last `spread_changes`.
    """

    _db: sqlite3.Connection

    def layer_files(self) -> Iterator[tuple[str, int, str]]:
        yield from self._db.execute("SELECT path, size, sha256 FROM layer_files ORDER BY path")

    def layer_files_of(self, owners: Iterable[ModelRow]) -> Iterator[tuple[str, int, str]]:
        """Yield path, size and sha256 of the layers files of checkpoints."""
        sql = "SELECT path, size, sha256 FROM layer_files WHERE path = ?"
        for owner in owners:
            if owner.layers_file is not None:
                yield from self._db.execute(sql, (owner.layers_file,))

    def models(self) -> Iterator[ModelRow]:
        """Yield the rows of `models`, sorted by model_id."""
        sql = f"SELECT record, {LAST_LISTED} FROM models ORDER BY model_id"  # noqa: S608 - constant
        for record, last_listed in self._db.execute(sql):
            yield decode_model(record, last_listed)

    def models_of(self, model_ids: Iterable[str]) -> Iterator[ModelRow]:
        """Yield the rows of `models` of checkpoints, in their order."""
        sql = f"SELECT record, {LAST_LISTED} FROM models WHERE model_id = ?"  # noqa: S608 - constant
        for model_id in model_ids:
            for record, last_listed in self._db.execute(sql, (model_id,)):
                yield decode_model(record, last_listed)

    def models_first_in(self, release: str | None) -> list[ModelRow]:
        """Return the rows of `models` that a version was the first to have; None for those that none has yet."""
        where = "WHERE coalesce(first_release, '') = ? ORDER BY model_id"
        rows = self._db.execute(f"SELECT record, {LAST_LISTED} FROM models {where}", (release or "",))  # noqa: S608
        return [decode_model(record, last_listed) for record, last_listed in rows]

    def index(self, owners: Iterable[ModelRow] | None = None) -> Iterator[IndexRow]:
        """Yield the rows of `index` of checkpoints, by default all, in their order and then as in the checkpoint."""
        sql = """
            SELECT record, layers.layer_id, shared_layers.layer_id
            FROM layers LEFT JOIN shared_layers USING (layer_sha256) WHERE model_id = ? ORDER BY position
        """
        for owner in self.models() if owners is None else owners:
            file = owner.layers_file
            elsewhere = self._shared_file(owner.model_id) if owner.shares_weights else None
            for layer, layer_id, first in self._db.execute(sql, (owner.model_id,)):
                row = decode_layer(layer)
                stored = file is not None and row.emitted
                yield replace(
                    row,
                    file=file if stored else elsewhere if row.emitted else None,
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

    def _shared_file(self, model_id: str) -> str | None:
        """Return the file that stores the weights of all checkpoints with the layers of one."""
        sql = "SELECT file FROM models JOIN shared_files USING (fingerprint) WHERE model_id = ?"
        row = self._db.execute(sql, (model_id,)).fetchone()
        return None if row is None else row[0]

    def ledger(self, owners: Iterable[ModelRow] | None = None) -> Iterator[LedgerRow]:
        """Yield the rows of `ledger` of checkpoints, by default all, in their order and then as in the checkpoint."""
        sql = "SELECT tensor, shape, dtype, reason FROM ledger WHERE model_id = ? ORDER BY position"
        for owner in self.models() if owners is None else owners:
            for tensor, shape, dtype, reason in self._db.execute(sql, (owner.model_id,)):
                yield LedgerRow(
                    model_id=owner.model_id,
                    tensor=tensor,
                    shape=tuple(load_json(shape)),
                    dtype=dtype,
                    outcome="emitted" if reason is None else "skipped",
                    reason=reason,
                )

    def samples(self, layer_sha256: str) -> Samples | None:
        """Return the kernels picked from a layer; None where layers of other sizes have the same bytes (zeros do)."""
        sql = """
            SELECT json_extract(record, '$.taps'), n_sizes FROM layers LEFT JOIN shared_layers USING (layer_sha256)
            WHERE layer_sha256 = ? LIMIT 1
        """
        found = self._db.execute(sql, (layer_sha256,)).fetchone()
        if found is None or found[1] not in (None, 1):
            return None
        key = samples_key(layer_sha256, found[0])
        row = self._db.execute("SELECT data FROM samples WHERE layer_sha256 = ?", (key,)).fetchone()
        return None if row is None else Samples.from_bytes(row[0])

    def sketches(self, layers: Iterable[IndexRow]) -> Iterator[dict[str, Any]]:
        """Yield the rows of `sketches` of layers, in their order; of equal layers only the first that is stored."""
        sql = """
            SELECT data, sketched FROM sketches LEFT JOIN shared_layers USING (layer_sha256)
            WHERE layer_sha256 = ? AND kernel = ?
        """
        for layer in layers:
            if not layer.stored:
                continue
            for data, sketched in self._db.execute(sql, (layer.layer_sha256, layer.kernel)):
                if sketched is None or load_json(sketched)[layer.kernel] == layer.layer_id:
                    yield sketches.from_bytes(data)

    def effective(self, owners: Iterable[ModelRow]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `effective` of checkpoints, in their order.

        Weights that a license keeps from being published follow from them: those checkpoints are left out.
        """
        for owner in owners:
            if owner.license_policy is None:
                sql = "SELECT data FROM effective WHERE model_id = ?"
                yield from (effective.from_bytes(data) for (data,) in self._db.execute(sql, (owner.model_id,)))

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
