"""Writing to the Hub in spite of lost answers: its client tries none of its writes again."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from json import JSONDecodeError
from typing import Final, TypeVar

from filtercrawl.api.errors import AccessDeniedError, ConflictError, DatasetError, NetworkError, NotFoundError
from filtercrawl.transport import hub

Found = TypeVar("Found")

# Seconds between tries; a commit that nobody answered for may take a minute to land.
_PAUSES: Final = (0.2, 2.0, 15.0, 45.0)
# The Hub's words for "not on top of what you think".
_CONFLICT_STATUS: Final = (409, 412)


def retry_write(
    description: str,
    write: Callable[[], Found],
    already_applied: Callable[[], Found | None] = lambda: None,
    delays: Sequence[float] = _PAUSES,
) -> Found:
    """Do `write` until it is known to be done, once more after each of the pauses, in seconds.

    landed: looks whether it has been, after an answer that says nothing certain, and returns what `write` would have;
    it may raise BusyError. Raises NetworkError when patience is at its end, BusyError where the Hub says that
    something else is there and `landed` finds nothing of ours, ForbiddenError, GoneError and DatasetError at once.
    """
    for pause in (*delays, None):
        try:
            with _readable_errors(description):
                return write()
        except NetworkError as error:
            answer = http_status(error)
            if isinstance(error, AccessDeniedError | NotFoundError) or (
                answer and answer < 500 and answer not in _LATER
            ):
                raise
            found = already_applied()
            if found is not None:
                return found
            if answer in _CONFLICT_STATUS:
                raise ConflictError(f"{description}: the Hub says that somebody else was faster; run again") from error
            if pause is None:
                raise
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


_LATER: Final = (408, 429, *_CONFLICT_STATUS)


@contextmanager
def _readable_errors(what: str) -> Iterator[None]:
    """Turn what writing raises into our errors; the client's own warnings are said by what follows from them."""
    from huggingface_hub import errors

    try:
        with hub.translate_hub_errors(what), _quiet:
            yield
    except errors.HfHubHTTPError:
        raise
    except JSONDecodeError as error:
        raise NetworkError(f"{what}: the Hub's answer is no JSON ({error})") from error
    except ValueError as error:
        raise DatasetError(f"{what}: {' '.join(str(error).split())}") from error
    except RuntimeError as error:  # so the client calls a failed upload
        raise NetworkError(f"{what}: {error.__cause__ or error}") from error


class _SilencedHubLogging:
    """Silences the client for as long as anybody is inside: warnings and loggers are the whole process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._end = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                logger = logging.getLogger("huggingface_hub")
                self._end.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.ERROR)
                self._end.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._end.close()


_quiet = _SilencedHubLogging()


def http_status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error, if an answer was behind it."""
    from huggingface_hub import errors

    while error is not None:
        if isinstance(error, errors.HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__
    return None
