"""Which checkpoints have changed since the tables were written, and which others follow from them.

`duplicate_of` and `file` of a layer depend on the other layers with the same weights. What a group of equal layers has
in common is kept as it was when the tables were written, so that one more layer in a group of thousands changes the
rows of the others only if it becomes the first of them.
"""

from __future__ import annotations

# ruff: noqa: S608 - statements are put together from constants
import json
import sqlite3
from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing

# Who keeps the weights among duplicates: the earliest release, then the smallest model_id.
RANK: Final = "release_order(first_release), model_id"
# Of equal layers the first one, which the others are duplicates of: one that is stored, by rank.
_LAYER_RANK: Final = f"layers_file IS NULL, {RANK}, position"
_IS_SHARED: Final = """
    (SELECT count(*) FROM (SELECT 1 FROM layers WHERE layers.layer_sha256 = changed_layers.layer_sha256 LIMIT 2)) = 2
"""
# Shared layers whose state may be another one. It is the same where the first of them is in a checkpoint that has not
# changed, and what changed is behind it and has its kernel size: thousands of networks may have one frozen layer.
_TO_COMPARE: Final = f"""
    SELECT layer_sha256 FROM changed_layers LEFT JOIN shared_layers USING (layer_sha256)
    WHERE {_IS_SHARED} AND (only_kernel IS NULL OR first_model_id IN (SELECT model_id FROM changed_models))
    UNION
    SELECT layer_sha256 FROM changed_models CROSS JOIN layers USING (model_id) CROSS JOIN models USING (model_id)
        CROSS JOIN shared_layers USING (layer_sha256)
        CROSS JOIN models AS owner ON owner.model_id = first_model_id
    WHERE json_extract(layers.record, '$.kernel') IS NOT only_kernel OR
        (models.layers_file IS NULL, release_order(models.first_release), models.model_id, layers.position)
        < (owner.layers_file IS NULL, release_order(owner.first_release), owner.model_id, first_position)
"""


class ChangeTracking:
    """Keeps what is to be written to the tables; part of the catalog."""

    _db: sqlite3.Connection

    def changed_models(self) -> list[str]:
        """Return the ids of the checkpoints whose rows have changed since the tables were written."""
        return [model_id for (model_id,) in self._db.execute("SELECT model_id FROM changed_models ORDER BY model_id")]

    def spread_changes(self) -> None:
        """Count those as changed, too, whose rows follow from the ones that changed."""
        with all_or_nothing(self._db):
            self._db.execute(
                "INSERT OR IGNORE INTO changed_layers SELECT layer_sha256 FROM changed_models "
                "JOIN layers USING (model_id) WHERE layer_sha256 IS NOT NULL"
            )
            self._spread_layers()
            self._spread_files()
            self._db.execute("DELETE FROM changed_layers")

    def _mark_changed(self, model_id: str) -> None:
        """Note that a checkpoint is about to change; the first time with the release that its rows lie under."""
        sql = """
            INSERT OR IGNORE INTO changed_models
            SELECT ?1, (SELECT coalesce(first_release, '') FROM models WHERE model_id = ?1)
        """
        self._db.execute(sql, (model_id,))

    def _mark_layers(self, model_id: str) -> None:
        """Note that the layers of a checkpoint are about to go."""
        sql = "INSERT OR IGNORE INTO changed_layers SELECT layer_sha256 FROM layers WHERE model_id = ?"
        self._db.execute(f"{sql} AND layer_sha256 IS NOT NULL", (model_id,))

    def _spread_layers(self) -> None:
        members = f"""
            SELECT layer_sha256, model_id, position, layer_id, json_extract(layers.record, '$.kernel'),
                json_extract(layers.record, '$.taps'), layers_file IS NOT NULL
            FROM json_each(?) JOIN layers ON layer_sha256 = value JOIN models USING (model_id)
            ORDER BY layer_sha256, {_LAYER_RANK}
        """
        columns = "layer_sha256, first_model_id, first_position, layer_id, only_kernel, n_sizes, sketched"
        known = f"SELECT {columns} FROM shared_layers WHERE layer_sha256 = ?"
        asked = [content for (content,) in self._db.execute(_TO_COMPARE)]
        rows = self._db.execute(members, (json.dumps(asked),)).fetchall() if asked else []
        for content, layers in groupby(rows, key=lambda row: row[0]):
            state = (content, *_common([row[1:] for row in layers]))
            if self._db.execute(known, (content,)).fetchone() != state:
                self._db.execute(
                    f"INSERT OR REPLACE INTO shared_layers ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", state
                )
                self._mark_with_layer([content])
        sql = f"SELECT layer_sha256 FROM changed_layers JOIN shared_layers USING (layer_sha256) WHERE NOT {_IS_SHARED}"
        alone = [content for (content,) in self._db.execute(sql)]
        self._db.executemany("DELETE FROM shared_layers WHERE layer_sha256 = ?", [(content,) for content in alone])
        self._mark_with_layer(alone)

    def _mark_with_layer(self, contents: Iterable[str]) -> None:
        sql = """
            INSERT OR IGNORE INTO changed_models SELECT model_id, coalesce(first_release, '')
            FROM layers JOIN models USING (model_id) WHERE layer_sha256 = ?
        """
        self._db.executemany(sql, [(content,) for content in contents])

    def _spread_files(self) -> None:
        """Where the file that stores the weights of several checkpoints is another one, all of them change."""
        sql = """
            SELECT fingerprint, count(*), max(layers_file),
                (SELECT file FROM shared_files WHERE shared_files.fingerprint = models.fingerprint)
            FROM models WHERE fingerprint IN (SELECT fingerprint FROM changed_models JOIN models USING (model_id))
            GROUP BY fingerprint
        """
        mark = "INSERT OR IGNORE INTO changed_models SELECT model_id, coalesce(first_release, '') FROM models"
        for fingerprint, members, stored, before in self._db.execute(sql).fetchall():
            file = stored if members > 1 else None
            if file != before:
                self._db.execute("DELETE FROM shared_files WHERE fingerprint = ?", (fingerprint,))
                if file is not None:
                    self._db.execute("INSERT INTO shared_files VALUES (?, ?)", (fingerprint, file))
                self._db.execute(f"{mark} WHERE fingerprint = ?", (fingerprint,))


def _common(members: list[tuple[str, int, str, str, int, int]]) -> tuple[Any, ...]:
    """Return what layers with the same weights have in common: a row of `shared_layers` without its key.

    Args:
        members: Model id, position, layer id, kernel size, taps, and whether the layer is stored; the first one first.
    """
    sketched: dict[str, str] = {}
    for _, _, layer_id, kernel, _, stored in members:
        if stored:
            sketched.setdefault(kernel, layer_id)
    model_id, position, layer_id, kernel, *_ = members[0]
    sizes = {(kernel, taps) for _, _, _, kernel, taps, _ in members}
    n_sizes = len({taps for _, taps in sizes})
    return (
        model_id,
        position,
        layer_id,
        kernel if len(sizes) == 1 else None,
        n_sizes,
        json.dumps(sketched, sort_keys=True),
    )
