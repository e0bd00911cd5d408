"""Every error that filtercrawl raises on purpose.

FiltercrawlError
├── UsageError                a command, selector or setting is wrong         exit 2
├── PolicyError               a safeguard or policy forbids the action        exit 4
├── ConflictError             another process works on the same data          exit 5
├── DatasetError              the dataset folder is missing or damaged        exit 1
├── EngineError               the engine cannot run the work                  exit 1
├── NetworkError              a server cannot be reached or refuses           exit 1
│   ├── AccessDeniedError     it requires a token, or a different one (HTTP 401, 403)
│   └── NotFoundError         it has no such file or repository (HTTP 404, 410)
└── CheckpointError           one checkpoint cannot be read: it is recorded as failed, the run continues
├── FormatError           the file violates its format
│   └── TruncatedError    the file ends too early
├── UnsupportedError      the file is valid, but this version cannot read it
├── UnsafeFileError       reading the file would be unsafe
└── ChangedError          the file changed while it was read

Cancelled                     a signal, not an error: the run ends cleanly
└── BudgetExhaustedError      the budget of requests or bytes is used up
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FiltercrawlError(Exception):
    """Base class; its text is one line that says what went wrong, where, and what to do.

    Attributes:
        exit_code: Exit code of a command that ends with this error.
        record: What `--json` prints of a command that did something before it ended; None for the text alone.
    """

    exit_code = 1
    record: Mapping[str, Any] | None = None


class UsageError(FiltercrawlError):
    """A command, selector or setting is wrong."""

    exit_code = 2


class PolicyError(FiltercrawlError):
    """A safeguard or a policy forbids the action."""

    exit_code = 4


class ConflictError(FiltercrawlError):
    """Another process works on the dataset, or published at the same time."""

    exit_code = 5


class DatasetError(FiltercrawlError):
    """The dataset folder is missing, damaged, or cannot be written."""


class EngineError(FiltercrawlError):
    """The engine cannot run the work: its cluster cannot be reached, or its workers do not start or fit."""


class NetworkError(FiltercrawlError):
    """A server cannot be reached, refuses a request, or its response cannot be used."""


class UnreachableError(NetworkError):
    """No connection to a server can be opened: its name is unknown, or it refuses; what failed was never tried."""


class AccessDeniedError(NetworkError):
    """The server requires a token, or a different one (HTTP 401 or 403)."""


class NotFoundError(NetworkError):
    """The server has no such file or repository (HTTP 404 or 410)."""


class CheckpointError(FiltercrawlError):
    """One checkpoint cannot be read; it is recorded as failed and the run continues."""


class FormatError(CheckpointError):
    """A file violates its format."""


class TruncatedError(FormatError):
    """A file ends before the bytes that its format declares."""


class UnsupportedError(CheckpointError):
    """A valid file that this version cannot read."""


class UnsafeFileError(CheckpointError):
    """Reading the file would be unsafe: it would execute code, leave its folder, or exceed a limit."""


class ChangedError(CheckpointError):
    """A file changed while it was read."""


class Cancelled(Exception):  # noqa: N818 - a signal, not an error
    """The run is to end; checkpoints in progress are left for the next run."""


class BudgetExhaustedError(Cancelled):
    """The run has used up its budget of requests or bytes; what is left is done by the next run."""


def describe_error(error: BaseException) -> str:
    """Return one line that describes an error of any library: its type and its text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
