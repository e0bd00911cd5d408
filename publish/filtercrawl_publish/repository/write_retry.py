"""Retries for writes to the Hub, whose client retries none of them, also when a response was lost."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from json import JSONDecodeError
from typing import Final, TypeVar

from filtercrawl.api.errors import AccessDeniedError, ConflictError, DatasetError, NetworkError, NotFoundError
from filtercrawl.transport import hub
from filtercrawl.transport.retry import RetryPolicy

Result = TypeVar("Result")

# A commit whose response was lost may take a minute to appear.
WRITES: Final = RetryPolicy.with_delays(0.2, 2.0, 15.0, 45.0)
# HTTP status of a commit whose parent is no longer the head.
_CONFLICT_STATUS: Final = (409, 412)
_RETRYABLE_STATUS: Final = (408, 429)


def retry_write(
    description: str,
    write: Callable[[], Result],
    already_applied: Callable[[], Result | None] = lambda: None,
    policy: RetryPolicy = WRITES,
) -> Result:
    """Write to the Hub until the write is known to have taken effect.

    Args:
        description: What is written and where, for messages.
        write: One attempt.
        already_applied: Called after a failed attempt: returns the result of the write if it has taken effect although
            its response was lost, otherwise None.
        policy: Attempts and delays.

    Returns:
        What `write` or `already_applied` returned.

    Raises:
        ConflictError: The Hub has a newer commit, and it is not this write.
        AccessDeniedError: The token does not allow the write.
        NotFoundError: The repository does not exist.
        DatasetError: The Hub's client refuses the data.
        NetworkError: Every attempt failed.
    """

    def attempt() -> Result:
        try:
            with _readable_errors(description):
                return write()
        except NetworkError as error:
            if http_status(error) not in _CONFLICT_STATUS:
                raise
            result = already_applied()
            if result is None:
                raise ConflictError(f"{description}: someone else published at the same time; run again") from error
            return result

    return policy.run(attempt, retryable=_is_retryable, already_applied=already_applied)


def _is_retryable(error: Exception) -> bool:
    if not isinstance(error, NetworkError) or isinstance(error, AccessDeniedError | NotFoundError):
        return False
    status = http_status(error)
    return not status or status >= 500 or status in _RETRYABLE_STATUS


@contextmanager
def _readable_errors(what: str) -> Iterator[None]:
    """Convert the client's exceptions to ours and silence its warnings, which these errors make redundant."""
    from huggingface_hub import errors

    try:
        with hub.translate_hub_errors(what), _silenced:
            yield
    except errors.HfHubHTTPError:
        raise
    except JSONDecodeError as error:
        raise NetworkError(f"{what}: the Hub's response is not JSON ({error})") from error
    except ValueError as error:
        raise DatasetError(f"{what}: {' '.join(str(error).split())}") from error
    except RuntimeError as error:  # how the client reports a failed upload
        raise NetworkError(f"{what}: {error.__cause__ or error}") from error


class _SilencedHubLogging:
    """Silences the client while at least one thread is inside; warnings and loggers are global to the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._exit_stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                logger = logging.getLogger("huggingface_hub")
                self._exit_stack.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.ERROR)
                self._exit_stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._exit_stack.close()


_silenced = _SilencedHubLogging()


def http_status(error: BaseException | None) -> int | None:
    """Return the HTTP status of the response that caused an error; None if there was no response."""
    from huggingface_hub import errors

    while error is not None:
        if isinstance(error, errors.HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__
    return None
