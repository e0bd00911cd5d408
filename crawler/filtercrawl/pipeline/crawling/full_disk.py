"""Tell a full disk from what is wrong with a checkpoint."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Final

from filtercrawl.api.errors import DatasetError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def dataset_error(error: BaseException) -> str | None:
    """Return why the dataset cannot be written, where that is what an error of a crawl means; None elsewhere.

    The disk may be that of the dataset, of the cache or of temporary files, and libraries wrap what it raises.
    """
    if isinstance(error, DatasetError):
        return str(error)
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _FULL:
            where = f"{cause.filename}: " if cause.filename else ""
            return f"{where}{cause.strerror or cause}; make space, or choose other folders, and run again"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
