"""Log records of workers, which appear in the log of the process of the run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any, Final

from filtercrawl.pipeline.engines.workers.messages import LogRecordFields

_PLAIN: Final = (str, int, float, bool, type(None))
_FORMATTER: Final = logging.Formatter()


class LogCollector(logging.Handler):
    """Keeps log records, as plain data, until they are sent."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[LogRecordFields] = []
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; those of Ray itself are its own affair."""
        if record.name.partition(".")[0] == "ray":
            return
        try:
            fields = to_fields(record)
        except Exception:  # noqa: BLE001 - a wrong log call must not end the work
            self.handleError(record)
            return
        with self._guard:
            self._held.append(fields)

    def take(self) -> list[LogRecordFields]:
        """Return the records since the last call."""
        with self._guard:
            taken, self._held = self._held, []
        return taken


def to_fields(record: logging.LogRecord) -> LogRecordFields:
    """Return a log record as plain data: message and traceback as text, other values as they are or as text."""
    fields = {name: _plain(value) for name, value in vars(record).items()}
    exception = record.exc_text or (_FORMATTER.formatException(record.exc_info) if record.exc_info else None)
    return fields | {"msg": record.getMessage(), "args": None, "exc_info": None, "exc_text": exception}


def replay(records: Iterable[LogRecordFields]) -> None:
    """Log the records of a worker in this process, where its loggers want them."""
    for fields in records:
        record = logging.makeLogRecord(dict(fields))
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, _PLAIN) else str(value)
