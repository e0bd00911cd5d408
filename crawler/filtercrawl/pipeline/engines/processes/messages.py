"""What the driver of the engine `local` tells the fork server and the workers, and what they tell it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from filtercrawl.api.errors import FiltercrawlError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.api.reader import Reader
from filtercrawl.pipeline.engines.workers import messages
from filtercrawl.pipeline.engines.workers.attempt import Limits
from filtercrawl.pipeline.engines.workers.messages import Order, Update, WorkerSettings


@dataclass(frozen=True, kw_only=True)
class ProcessLimits(Limits):
    """What one attempt in a process of this machine may use.

    Attributes:
        cpu_seconds: CPU time of its process.
        reading_seconds: CPU time in which the structure of a small file, and then its weights, have to be read.
    """

    cpu_seconds: float
    reading_seconds: float


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """What the fork server needs.

    Attributes:
        worker: Settings of the workers.
        libraries: What is imported beside the readers before workers are forked.
    """

    worker: WorkerSettings
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Fork:
    """Fork a worker; its end of a connection follows as a file descriptor.

    Attributes:
        worker: Number of the worker, unique within the server.
    """

    worker: int


@dataclass(frozen=True, kw_only=True)
class Kill:
    """Kill a worker."""

    worker: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The server has its imports done."""


@dataclass(frozen=True, kw_only=True)
class Exited:
    """A worker ended.

    Attributes:
        worker: Its number.
        code: As `subprocess.Popen.returncode`: the negative number of a signal, or an exit code.
    """

    worker: int
    code: int


@dataclass(frozen=True, kw_only=True)
class LimitedOrder(Order):
    """One attempt at one checkpoint, within limits.

    Attributes:
        limits: What it may use.
        local: Whether all its files are on this machine, so that nothing has to be fetched.
    """

    limits: ProcessLimits
    local: bool


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Questions about local files; the worker sends `Started`, and a `Replied` for each subject.

    Attributes:
        question: A function of a module, called with the installed readers; what it returns, with each subject.
        subjects: What is asked about.
        limits: What each answer may use.
    """

    question: Callable[[Sequence[Reader]], Callable[[Any], Any]]
    subjects: tuple[Any, ...]
    limits: ProcessLimits


@dataclass(frozen=True, kw_only=True)
class Replied:
    """The answer about one subject.

    Attributes:
        value: The answer.
        failed: Whether there is none, since the readers raised something.
        update: What there was to tell since the last message.
    """

    value: Any = None
    failed: bool = False
    update: Update = field(default_factory=Update)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a function; the worker sends `Started` and a `Returned`.

    Attributes:
        function: A function of a module, called with the plugins and the argument.
        argument: What it is called with.
        limits: What it may use.
        local: Whether it reads only files of this machine, so that nothing has to be fetched.
    """

    function: Callable[[Plugins, Any], Any]
    argument: Any
    limits: ProcessLimits
    local: bool


@dataclass(frozen=True, kw_only=True)
class Returned:
    """What a call returned.

    Attributes:
        value: It.
        error: What was raised instead.
        unexpected: What else was raised, in words, and whose bug it is.
        update: What there was to tell since the last message.
    """

    value: Any = None
    error: FiltercrawlError | None = None
    unexpected: str | None = None
    update: Update = field(default_factory=Update)


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """End the checkpoint in progress after the current step."""


@dataclass(frozen=True, kw_only=True)
class AskPlace:
    """May the layers of this checkpoint be written? The worker waits for `Place`: only so many write at a time."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The answer to `AskPlace`."""


@dataclass(frozen=True, kw_only=True)
class GiveBackPlace:
    """The layers are written."""


@dataclass(frozen=True, kw_only=True)
class Admit:
    """May one more request be sent? The worker waits for `Admitted`.

    Attributes:
        n_bytes: Bytes that the worker has received since it asked last.
    """

    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """The answer to `Admit`."""

    allowed: bool


Message = messages.Message | Admit | AskPlace | GiveBackPlace | Replied | Returned
