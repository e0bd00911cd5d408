"""Every error that filtercrawl raises on purpose.
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final
import pluggy
from filtercrawl.api import hookspecs
from filtercrawl.api.analysis import Analysis
from filtercrawl.api.version import refusal
from filtercrawl.api.source import Reader, Source
from filtercrawl.api.checkpoint import VisualCategory
from filtercrawl.api.measure import Measure
from filtercrawl.api.hook_scan import HOOKS, may_implement

FiltercrawlError
├── UsageError            wrong command, selector or setting          exit 2
├── RefusedError          a guard or a policy said no                 exit 4
├── BusyError             somebody else is at work on the dataset     exit 5
├── DatasetError          the dataset folder is not what it should be exit 1
├── NetworkError          a server could not be reached or said no    exit 1
│   ├── ForbiddenError    it wants a token, or a better one (HTTP 401, 403)
│   └── GoneError         it has no such thing (HTTP 404, 410)
└── CheckpointError       one checkpoint cannot be read: recorded as failed, the run goes on
    ├── FormatError       the bytes are not what their format promises
    │   └── TruncatedError    the file ends before the bytes it promises
    ├── UnsupportedError  a sound file that this version cannot read
    ├── UnsafeError       the file asks for something that is never done
    └── ChangedError      the file changed while it was read

Stopped                   a signal, not an error: the run ends cleanly
└── BudgetError           its budget of requests or bytes is used up
"""


class FiltercrawlError(Exception):
    """Base of all errors here; its text is one line that says what, where and what to do."""

    exit_code = 1


class UsageError(FiltercrawlError):
    exit_code = 2


class PolicyError(FiltercrawlError):
    exit_code = 4


class ConflictError(FiltercrawlError):
    exit_code = 5


class DatasetError(FiltercrawlError):
    pass


class NetworkError(FiltercrawlError):
    pass


class AccessDeniedError(NetworkError):
    pass


class NotFoundError(NetworkError):
    pass


class CheckpointError(FiltercrawlError):
    pass


class FormatError(CheckpointError):
    pass


class TruncatedError(FormatError):
    pass


class UnsupportedError(CheckpointError):
    pass


class UnsafeFileError(CheckpointError):
    pass


class ChangedError(CheckpointError):
    pass


class Cancelled(Exception):  # noqa: N818 - a signal, not an error
    """The run was asked to stop; the checkpoint in hand is left for the next one."""


class BudgetExhaustedError(Cancelled):
    """The run may ask the network for nothing more; what is in hand is left for the next one."""


def describe_error(error: BaseException) -> str:
    """One line for a foreign error."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
