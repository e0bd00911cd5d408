"""Which checkpoint holds a content: asked by the workers of a run when they meet one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filtercrawl.config.license_policy import METADATA
from filtercrawl.dataset.catalog.damage import CATALOG_ERRORS, unusable
from filtercrawl.dataset.schema.model_row import ContentKey

_OWNER: Final = f"""
    SELECT min(model_id) FROM models
    WHERE file_sha256 = ? AND json_extract(record, '$._prefix') = ?
        AND coalesce(json_extract(record, '$.kernel_policy'), '') = ? AND json_extract(record, '$.reason') IS NULL
        AND json_extract(record, '$.license_policy') IS NOT '{METADATA}' AND model_id IS NOT ?
"""  # noqa: S608 - constant


class ContentOwners:
    """Finds the checkpoint that holds a content, over a connection of its own; use as a context manager.

    It may be called in any thread, in one at a time.

    Args:
        catalog: The file of the catalog.
    """

    def __init__(self, catalog: Path) -> None:
        self._catalog = catalog
        try:
            self._db = sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        except CATALOG_ERRORS as error:
            raise unusable(catalog, error) from error

    def __call__(self, key: ContentKey, other_than: str | None = None) -> str | None:
        """Return the first checkpoint by model id that holds a content, and so need not be read again; None for none.

        Args:
            key: The content.
            other_than: A checkpoint that does not count.

        Raises:
            DatasetError: The catalog is damaged.
        """
        if not key[0]:
            return None  # no hash is known
        try:
            (owner,) = self._db.execute(_OWNER, (*key, other_than)).fetchone()
        except CATALOG_ERRORS as error:
            raise unusable(self._catalog, error) from error
        return None if owner is None else str(owner)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and self(key) is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
