"""Log lines of the command line: to stderr, as text or JSON, without tokens and signed URLs."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import typer

from filtercrawl.api.formatting import escape_control, shorten
from filtercrawl.config import hide_tokens, token_values
from filtercrawl.config.urls import redact_urls

logger = logging.getLogger(__name__)

# Characters of a line for people; what a file states may have any length.
_MAX_LINE: Final = 2000
# Extra fields of records about what the progress display and the summary of a run show as well.
_SHOWN_BY_PROGRESS: Final = ("checkpoint", "selector")
# Where huggingface_hub tells of each retry, and how it begins where it waits for the Hub's limit, which takes minutes.
_HUB_RETRIES: Final = "huggingface_hub.utils._http"
_RATE_LIMITED: Final = "Rate limited"
# Ray, once it is imported, adds a field of its own to every record of the process.
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "_ray_timestamp_ns"}


class LogFormat(Enum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class RedactionFilter(logging.Filter):
    """Removes tokens, and credentials, queries and fragments of URLs, from everything in a log record.

    The code that logs does the same where it knows that it has a URL; this catches what it missed, in our code, in
    plugins and in other libraries.
    """

    def __init__(self, tokens: Callable[[], Iterable[str]] = token_values) -> None:
        """Create a filter.

        Args:
            tokens: Returns the tokens in use; called for each record, since tokens are read when they are first needed.
        """
        super().__init__()
        self._tokens = tokens

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact message, extra fields, exception and stack; every record is kept."""
        try:
            self._redact_record(record)
        except Exception as error:  # noqa: BLE001 - a wrong log call, for example of a plugin, must not end the run
            for name in vars(record).keys() - _STANDARD_FIELDS:
                delattr(record, name)
            where = f"{record.pathname}:{record.lineno}"
            record.msg, record.args = f"a log record of {where} cannot be shown ({type(error).__name__})", ()
            record.exc_info = record.exc_text = record.stack_info = None
        return True

    def _redact_record(self, record: logging.LogRecord) -> None:
        tokens = frozenset(self._tokens())
        record.msg, record.args = _redact(record.getMessage(), tokens), ()
        for name in vars(record).keys() - _STANDARD_FIELDS:
            setattr(record, name, _redact(getattr(record, name), tokens))
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_text = _redact(record.exc_text, tokens)
        record.stack_info = _redact(record.stack_info, tokens)


def redacted(value: Any) -> Any:
    """Return a value without the tokens in use and without secrets of URLs; what is not JSON becomes text."""
    return _redact(value, token_values())


def _redact(value: Any, tokens: Iterable[str]) -> Any:
    """Return a value of a log record without secrets; what is not JSON becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_redact(str(key), tokens): _redact(item, tokens) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact(item, tokens) for item in value]
    return redact_urls(hide_tokens(str(value), tokens))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the extra fields and the exception, if any."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        line = extra | {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(dict(sorted(line.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))), default=str)


_ORDER: Final = {"time": 0, "level": 1, "logger": 2, "message": 3}


class TextFormatter(logging.Formatter):
    """A line for people, control characters escaped: `warning: ...`, with time and logger where details are wanted."""

    def __init__(self, *, details: bool) -> None:
        super().__init__()
        self._details = details

    def format(self, record: logging.LogRecord) -> str:
        line = shorten(escape_control(record.getMessage()), _MAX_LINE)
        if self._details:
            time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
            line = f"{time} {record.levelname:<7} {record.name}: {line}"
        else:
            line = f"{record.levelname.lower()}: {line}"
        return "\n".join([line, *map(escape_control, (record.exc_text or "").splitlines())])


class StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at the time, so that lines appear above a progress bar and not through it."""

    def __init__(self, log_format: LogFormat, *, verbose: bool) -> None:
        """Create the handler of the command line.

        Args:
            log_format: How lines are written. JSON begins at INFO, since it takes the place of the progress display.
            verbose: Whether to write everything from DEBUG on.
        """
        super().__init__()
        self.log_format = log_format
        self.lowest = logging.DEBUG if verbose else logging.INFO if log_format is LogFormat.JSON else logging.WARNING
        self.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter(details=verbose))
        self.addFilter(self._is_wanted)
        self.addFilter(RedactionFilter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001 - logging must not end a run, as the handlers of the standard library do not
            self.handleError(record)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        """Keep what is severe enough; of other libraries only warnings and errors."""
        shown = record.levelno == logging.WARNING and any(hasattr(record, name) for name in _SHOWN_BY_PROGRESS)
        if shown and self.lowest == logging.WARNING:
            return False
        if record.name == _HUB_RETRIES and not str(record.msg).startswith(_RATE_LIMITED):
            return self.lowest == logging.DEBUG
        ours = record.name.partition(".")[0].startswith("filtercrawl")
        return record.levelno >= (self.lowest if ours else logging.WARNING)


def configure_logging(log_format: LogFormat = LogFormat.TEXT, *, verbose: bool = False) -> None:
    """Send the log records of this process to stderr, in place of what an earlier call configured."""
    # The handler of huggingface_hub would write its warnings beside ours, unredacted. It reads this when imported,
    # which takes too long to do here.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    retries = logging.getLogger(_HUB_RETRIES)
    retries.setLevel(logging.WARNING)
    retries.propagate = False
    handler = StderrHandler(log_format, verbose=verbose)
    for log in (logging.getLogger(), retries):
        for earlier in list(log.handlers):
            if isinstance(earlier, StderrHandler):
                log.removeHandler(earlier)
        log.addHandler(handler)
    logging.getLogger().setLevel(handler.lowest)


def logs_json() -> bool:
    """Tell whether stderr holds JSON lines, so that nothing else may be written there."""
    handlers = logging.getLogger().handlers
    return any(isinstance(handler, StderrHandler) and handler.log_format is LogFormat.JSON for handler in handlers)


def show_on_stderr(line: str) -> None:
    """Show a line that belongs to no result: as it is, or as a log record where stderr holds JSON lines."""
    if logs_json():
        logger.info(line)
    else:
        typer.echo(line, err=True)
