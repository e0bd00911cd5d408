"""The catalog: an SQLite file in the dataset folder with everything that was crawled. It is never published."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from filtercrawl.api.errors import DatasetError
from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing
from filtercrawl.dataset.catalog.changes import RANK, ChangeTracking
from filtercrawl.dataset.catalog.damage import CATALOG_ERRORS, load_json, unusable
from filtercrawl.dataset.catalog.encoding import decode_layer, decode_model, encode_layer, encode_model, samples_key
from filtercrawl.dataset.catalog.known_layer_files import KnownLayerFiles
from filtercrawl.dataset.catalog.known_models import KnownModels
from filtercrawl.dataset.catalog.listings import LAST_LISTED, Listings
from filtercrawl.dataset.catalog.preview_layers import PreviewLayers, preview_level
from filtercrawl.dataset.catalog.runs import Runs
from filtercrawl.dataset.catalog.schema_migrations import MIGRATIONS
from filtercrawl.dataset.files.atomic import may_write
from filtercrawl.dataset.files.unpublished import HIDDEN
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.schema.model_row import ModelRow
from filtercrawl.dataset.schema.version_order import release_order
from filtercrawl.dataset.tables import effective, sketches
from filtercrawl.dataset.tables.partition import place_of
from filtercrawl.dataset.tables.samples import Samples
from filtercrawl.extraction.ledger import LedgerEntry


class Catalog(KnownModels, KnownLayerFiles, Listings, Runs, PreviewLayers, ChangeTracking):
    """The SQLite catalog of one dataset folder; writes go through `transaction`."""

    def __init__(self, dataset: Path) -> None:
        folder = dataset / HIDDEN
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatasetError(f"{folder}: cannot be made ({error.strerror or error})") from error
        self.path = folder / "catalog.sqlite"
        # On a disk that may not be written, nobody else writes either: SQLite then needs no lock and no journal.
        is_fixed = self.path.is_file() and not may_write(folder)
        path = f"{self.path.absolute().as_uri()}?immutable=1" if is_fixed else self.path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, uri=is_fixed)
        except CATALOG_ERRORS as error:
            raise unusable(self.path, error) from error
        self._db.create_function("release_order", 1, release_order, deterministic=True)
        self._db.create_function("place_of", 1, place_of, deterministic=True)
        self._db.create_function("preview_level", 1, preview_level, deterministic=True)
        try:
            if not is_fixed:
                self._db.execute("PRAGMA journal_mode = WAL")
            self._migrate()
        except CATALOG_ERRORS as error:
            self._db.close()
            raise unusable(self.path, error) from error

    @staticmethod
    def remove(dataset: Path) -> None:
        """Delete the catalog of a dataset, so that it can be rebuilt."""
        for path in (dataset / HIDDEN).glob("catalog.sqlite*"):
            path.unlink()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise DatasetError(f"{self.path}: written by a newer filtercrawl; update it")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside; marks the published tables as out of date."""
        with all_or_nothing(self._db):
            yield
            self.set_meta("stale", "1")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the catalog; raises DatasetError for a damaged one, with the command that repairs it."""
        self.close()
        if isinstance(error, CATALOG_ERRORS):
            raise unusable(self.path, error) from error

    # Facts about the dataset as a whole.

    @property
    def dataset_id(self) -> str:
        return self.get_meta("dataset_id") or ""

    @property
    def needs_export(self) -> bool:
        """Whether the published tables say less than the catalog."""
        return self.get_meta("stale") == "1"

    # One checkpoint.

    def model(self, model_id: str) -> ModelRow | None:
        """Return the row of a checkpoint; None for one that was never seen."""
        sql = f"SELECT record, {LAST_LISTED} FROM models WHERE model_id = ?"  # noqa: S608 - constant
        row = self._db.execute(sql, (model_id,)).fetchone()
        return None if row is None else decode_model(*row)

    def put_model(self, row: ModelRow, fingerprint: str | None = None) -> None:
        """Store the row of a checkpoint, and the fingerprint of its layers."""
        self._mark_changed(row.model_id)
        sql = """
            INSERT INTO models (
                model_id, source, outcome, file_sha256, fingerprint, layers_file, first_release, record, place, size
            ) VALUES (
                ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, place_of(?1), 1 + (SELECT count(*) FROM layers WHERE model_id = ?1)
            ) ON CONFLICT (model_id) DO UPDATE SET
                source = ?2, outcome = ?3, file_sha256 = ?4, fingerprint = ?5, layers_file = ?6, first_release = ?7,
                record = ?8
        """
        columns = (
            row.model_id, row.source, row.outcome, row.file_sha256, fingerprint, row.layers_file, row.first_release,
            encode_model(row),
        )  # fmt: skip
        self._db.execute(sql, columns)

    def update_model(self, row: ModelRow) -> None:
        """Replace the row of a checkpoint and leave its content as it is.

        Outside of a transaction that is no reason to write the tables: they have it with the next change of their part.
        """
        record = encode_model(row)
        sql = "SELECT 1 FROM models WHERE model_id = ? AND record = ?"
        if self._db.execute(sql, (row.model_id, record)).fetchone():
            return
        if self._db.in_transaction:
            self._mark_changed(row.model_id)
        self._db.execute(
            "UPDATE models SET outcome = ?, layers_file = ?, first_release = ?, record = ? WHERE model_id = ?",
            (row.outcome, row.layers_file, row.first_release, record, row.model_id),
        )

    def fingerprint(self, model_id: str) -> str | None:
        row = self._db.execute("SELECT fingerprint FROM models WHERE model_id = ?", (model_id,)).fetchone()
        return None if row is None else row[0]

    def put_content(self, model_id: str, layers: Sequence[IndexRow], ledger: Sequence[LedgerEntry]) -> None:
        """Replace the layers and the ledger of a checkpoint."""
        self._drop_layers(model_id)
        self._db.executemany(
            "INSERT INTO layers VALUES (?1, ?2, ?3, ?4, ?5, preview_level(?3))",
            [(model_id, i, row.layer_id, row.layer_sha256, encode_layer(row)) for i, row in enumerate(layers)],
        )
        self._db.execute("UPDATE models SET size = ? WHERE model_id = ?", (1 + len(layers), model_id))
        self._db.executemany(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)",
            [(model_id, i, e.tensor, json.dumps(e.shape), e.dtype, e.reason) for i, e in enumerate(ledger)],
        )

    def drop_content(self, model_id: str) -> None:
        """Forget the layers, the ledger and the effective weights of a checkpoint."""
        self._drop_layers(model_id)
        self.put_effective(model_id, None)

    def _drop_layers(self, model_id: str) -> None:
        self._mark_changed(model_id)
        self._mark_layers(model_id)
        self._db.execute("UPDATE models SET size = 1 WHERE model_id = ?", (model_id,))
        self._db.execute("DELETE FROM layers WHERE model_id = ?", (model_id,))
        self._db.execute("DELETE FROM ledger WHERE model_id = ?", (model_id,))

    def layers_of(self, model_id: str) -> list[IndexRow]:
        """Return the layers of a checkpoint, in its order."""
        rows = self._db.execute("SELECT record FROM layers WHERE model_id = ? ORDER BY position", (model_id,))
        return [decode_layer(record) for (record,) in rows]

    def ledger_of(self, model_id: str) -> list[LedgerEntry]:
        sql = "SELECT tensor, shape, dtype, reason FROM ledger WHERE model_id = ? ORDER BY position"
        return [
            LedgerEntry(tensor=tensor, shape=tuple(load_json(shape)), dtype=dtype, reason=reason)
            for tensor, shape, dtype, reason in self._db.execute(sql, (model_id,))
        ]

    def put_samples(self, samples: Iterable[tuple[str, Samples]]) -> None:
        """Keep the kernels picked from layers, each beside its layer_sha256."""
        self._db.executemany(
            "INSERT OR REPLACE INTO samples VALUES (?, ?)",
            [(samples_key(digest, picked.values.shape[1]), picked.to_bytes()) for digest, picked in samples],
        )

    def put_sketches(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Keep rows of SKETCHES."""
        self._db.executemany(
            "INSERT OR REPLACE INTO sketches VALUES (?, ?, ?)",
            ((row["layer_sha256"], row["kernel"], sketches.to_bytes(row)) for row in rows),
        )

    def put_effective(self, model_id: str, rows: pa.RecordBatch | None) -> None:
        """Replace the rows of EFFECTIVE of a checkpoint; None for none."""
        self._mark_changed(model_id)
        self._db.execute("DELETE FROM effective WHERE model_id = ?", (model_id,))
        if rows is not None:
            self._db.execute("INSERT INTO effective VALUES (?, ?)", (model_id, effective.to_bytes(rows)))

    def effective_of(self, model_id: str) -> pa.RecordBatch | None:
        """Return the rows of EFFECTIVE of a checkpoint; None where it has none."""
        row = self._db.execute("SELECT data FROM effective WHERE model_id = ?", (model_id,)).fetchone()
        return None if row is None else effective.from_bytes(row[0])

    # Checkpoints of the same layers.

    def with_layers(self, fingerprint: str) -> list[ModelRow]:
        """Return the checkpoints with these layers, the one that stores the weights first."""
        sql = f"SELECT record FROM models WHERE fingerprint = ? ORDER BY layers_file IS NULL, {RANK}"  # noqa: S608 - constant
        return [decode_model(record) for (record,) in self._db.execute(sql, (fingerprint,))]

    # Names.

    def put_rename(self, source: str, new_name: str, model_id: str, old_name: str, seen: datetime) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO renames VALUES (?, ?, ?, ?, ?)",
            (source, new_name, model_id, old_name, seen.isoformat()),
        )

    def renamed(self) -> dict[tuple[str, str], str]:
        """Return (source, new name) -> model_id of every rename."""
        rows = self._db.execute("SELECT source, new_name, model_id FROM renames")
        return {(source, name): model_id for source, name, model_id in rows}

    def put_withdrawn(self, model_id: str, reason: str, when: datetime) -> None:
        self._db.execute("INSERT OR REPLACE INTO withdrawn VALUES (?, ?, ?)", (model_id, reason, when.isoformat()))

    def delete_unused(self) -> None:
        """Drop samples, sketches and files that no checkpoint uses any more, of layers that have changed."""
        self._db.execute(
            "DELETE FROM layer_files WHERE path NOT IN (SELECT layers_file FROM models WHERE layers_file IS NOT NULL)"
        )
        sql = """
            SELECT layer_sha256 FROM changed_layers
            WHERE NOT EXISTS (SELECT 1 FROM layers WHERE layers.layer_sha256 = changed_layers.layer_sha256)
        """
        unused = [(content,) for (content,) in self._db.execute(sql)]
        self._db.executemany("DELETE FROM sketches WHERE layer_sha256 = ?", unused)
        # Their keys begin with the hash and a slash, behind which 0 comes next.
        sql = "DELETE FROM samples WHERE layer_sha256 > ?1 || '/' AND layer_sha256 < ?1 || '0'"
        self._db.executemany(sql, unused)
