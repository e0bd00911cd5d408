"""Which layers the config `preview` has: at most some thousands, the same ones in whatever order they came."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection
from itertools import count
from typing import Final

from filtercrawl.dataset.catalog.parts import PartTables
from filtercrawl.dataset.catalog.published import PublishedTables
from filtercrawl.dataset.files.table_files import Part
from filtercrawl.dataset.schema.layer_row import IndexRow
from filtercrawl.dataset.tables.part_records import PreviewPlan

LIMIT: Final = 2_000
_CHOSEN: Final = """
    FROM layers JOIN models USING (model_id)
    WHERE preview_level >= ? AND layers_file IS NOT NULL AND layer_sha256 IS NOT NULL
"""


def preview_level(layer_id: str) -> int:
    """Return how many zeros the SHA-256 of a layer's id begins with, in bits."""
    return 256 - int.from_bytes(hashlib.sha256(layer_id.encode()).digest()).bit_length()


class PreviewLayers(PublishedTables, PartTables):
    """Chooses the layers of `preview`; part of the catalog.

    Those of the lowest level at which there are not too many: one more layer is among them or not, and the others stay,
    until there are twice as many layers.
    """

    def plan_preview(self, changed: Collection[str], before: str) -> PreviewPlan:
        """Choose the layers.

        Args:
            changed: Ids of the checkpoints whose rows have changed.
            before: Digest of the layers that were chosen before; empty to have their rows whatever changed.
        """
        level = next(level for level in count() if not self._has_too_many(level))
        sql = f"SELECT model_id, layer_id {_CHOSEN} ORDER BY model_id, position"
        chosen: defaultdict[str, set[str]] = defaultdict(set)
        for model_id, layer_id in self._db.execute(sql, (level,)):
            chosen[model_id].add(layer_id)
        generation_of = self._generations()
        names = [generation_of, *(sorted(chosen[model_id]) for model_id in chosen)]
        digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        if digest == before and chosen.keys().isdisjoint(changed):
            return PreviewPlan(rows={}, digest=digest, changed=False)
        rows: defaultdict[Part, list[IndexRow]] = defaultdict(list)
        for owner in self.models_of(chosen):
            part = Part(generation=generation_of[owner.first_release or ""])
            rows[part] += [row for row in self.index([owner]) if row.layer_id in chosen[owner.model_id]]
        return PreviewPlan(rows=dict(rows), digest=digest, changed=True)

    def _has_too_many(self, level: int) -> bool:
        found = self._db.execute(f"SELECT 1 {_CHOSEN} LIMIT {LIMIT + 1}", (level,)).fetchall()
        return len(found) > LIMIT
