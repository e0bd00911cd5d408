"""Puts layers files from a worker straight into the object store of the dataset, past the driver."""

from __future__ import annotations

import logging
from dataclasses import replace

from filtercrawl.api.errors import AccessDeniedError, FiltercrawlError, UsageError
from filtercrawl.dataset.object_store.layer_uploads import STAGED
from filtercrawl.dataset.object_store.objects import ObjectStore
from filtercrawl.pipeline.records import CrawlResult

logger = logging.getLogger(__name__)


class Uploader:
    """Uploads the layers files of one worker.

    Where that fails the file stays, and is sent to the driver, which uploads it: a machine of the cluster may lack
    credentials or the library of the store.

    Args:
        url: Of the dataset.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: ObjectStore | None = None
        self._is_refused = False

    def uploaded(self, result: CrawlResult, attempt: str) -> CrawlResult:
        """Upload the staged file of a result, and delete it here.

        Args:
            result: What came of a checkpoint.
            attempt: Id of the attempt, which names the object.

        Returns:
            The result, with where the file is.
        """
        layers = result.layers
        if self._is_refused or layers is None or layers.staged is None:
            return result
        path = f"{STAGED}/{attempt}.parquet"
        try:
            self._store = self._store or ObjectStore(self._url)
            self._store.upload({path: layers.staged})
        except FiltercrawlError as error:
            self._is_refused = isinstance(error, AccessDeniedError | UsageError)  # the next file would fare no better
            logger.warning("a worker cannot upload layers files, so that they go through the driver: %s", error)
            return result
        layers.staged.unlink(missing_ok=True)
        return replace(result, layers=replace(layers, staged=None, uploaded=path))
