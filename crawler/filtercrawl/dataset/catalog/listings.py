"""What the catalog keeps of listings: which selector lists which checkpoint, and when that was last so.

A checkpoint that is offered as it was changes nothing in its row: when it was last seen follows from the time of the
last complete listing of the selectors that list it. What a source offers of it is remembered as a digest; where the
digest is the same, the row is as that offer leaves it, and need not even be read. A trigger forgets the digest of a row
that is changed in any way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from filtercrawl.dataset.catalog.all_or_nothing import all_or_nothing
from filtercrawl.dataset.catalog.encoding import encode_model
from filtercrawl.dataset.catalog.known_models import batches
from filtercrawl.dataset.schema.listing_rows import SourceRow
from filtercrawl.dataset.schema.model_row import ModelRow

# When the last complete listing was that has a checkpoint; null where none is known to have it.
LAST_LISTED: Final = """
    (SELECT max(completed) FROM listed JOIN selectors USING (selector_id)
     WHERE listed.model_id = models.model_id AND is_present)
"""


class Listings:
    """Keeps what selectors list; part of the catalog."""

    _db: sqlite3.Connection

    def put_selector(self, row: SourceRow) -> None:
        """Note that a selector was listed; `selector` is as it was typed."""
        listed = None if row.listed is None else row.listed.isoformat()
        columns = (row.selector_id, row.source, row.selector, row.plugin, listed, row.n_offered, row.ignored)
        sql = """
            INSERT INTO selectors (selector_id, source, selector, plugin, listed, n_offered, ignored, completed)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5) ON CONFLICT (selector_id) DO UPDATE SET
                source = ?2, selector = ?3, plugin = ?4, listed = ?5, n_offered = ?6, ignored = ?7,
                completed = coalesce(?5, completed)
        """
        self._db.execute(sql, columns)

    def selectors(self) -> dict[str, str | None]:
        """Return selector id -> selector as it was typed; None where another machine listed it."""
        return dict(self._db.execute("SELECT selector_id, selector FROM selectors"))

    def listed_by(self, selector_id: str) -> Iterator[tuple[str, bool]]:
        """Yield the model id of each checkpoint that a selector ever listed, and whether its last listing has it."""
        sql = "SELECT model_id, is_present FROM listed WHERE selector_id = ? ORDER BY model_id"
        return ((model_id, bool(is_present)) for model_id, is_present in self._db.execute(sql, (selector_id,)))

    def offers_of(self, selector_id: str, model_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the digests of what a selector last offered of these checkpoints, where their rows are still the same.

        Args:
            selector_id: The selector.
            model_ids: At most some hundred.
        """
        marks = ", ".join("?" * len(model_ids))
        sql = f"SELECT model_id, offer FROM listed WHERE selector_id = ? AND model_id IN ({marks})"  # noqa: S608 - marks
        found = self._db.execute(f"{sql} AND is_present AND offer IS NOT NULL", (selector_id, *model_ids))
        return dict(found)

    def put_offers(self, selector_id: str, offers: Mapping[str, bytes | None]) -> None:
        """Note that a selector's listing has these checkpoints, with the digest of what it offers of each.

        Args:
            selector_id: The selector; checkpoints whose rows do not name it are left out.
            offers: Digest by model id; None where the next run has to look at the row.
        """
        sql = "UPDATE listed SET is_present = 1, offer = ? WHERE selector_id = ? AND model_id = ?"
        with all_or_nothing(self._db):
            self._db.executemany(sql, [(digest, selector_id, model_id) for model_id, digest in offers.items()])

    def put_seen(self, rows: Iterable[ModelRow]) -> None:
        """Replace rows by what is no reason to publish: the tables have it with their next change."""
        sql = "UPDATE models SET record = ? WHERE model_id = ?"
        for batch in batches(rows):
            with all_or_nothing(self._db):
                self._db.executemany(sql, [(encode_model(row), row.model_id) for row in batch])

    def put_last_seen(self, model_ids: Iterable[str], when: datetime) -> None:
        """Note that checkpoints were seen by a listing that is not complete."""
        sql = "UPDATE models SET record = json_set(record, '$.last_seen', ?) WHERE model_id = ?"
        with all_or_nothing(self._db):
            self._db.executemany(sql, [(when.isoformat(), model_id) for model_id in model_ids])

    def put_gone(self, selector_id: str, model_ids: Iterable[str]) -> None:
        """Note that a complete listing, which is not noted yet, lacks checkpoints that the one before had."""
        keep = f"""
            UPDATE models SET record = json_set(record, '$.last_seen', {LAST_LISTED})
            WHERE model_id = ? AND {LAST_LISTED} > coalesce(json_extract(record, '$.last_seen'), '')
        """  # noqa: S608 - constant
        forget = "UPDATE listed SET is_present = 0, offer = NULL WHERE selector_id = ? AND model_id = ?"
        with all_or_nothing(self._db):
            for model_id in model_ids:
                self._db.execute(keep, (model_id,))
                self._db.execute(forget, (selector_id, model_id))
