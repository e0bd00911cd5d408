"""One call in a worker process, for a command that reads a file without a run."""

from __future__ import annotations

import time
from typing import Any, Final

from filtercrawl.api import errors
from filtercrawl.api.errors import CheckpointError, FiltercrawlError
from filtercrawl.config.fields import show_duration
from filtercrawl.pipeline.engines.processes.losses import describe_exit
from filtercrawl.pipeline.engines.processes.messages import Call, Returned
from filtercrawl.pipeline.engines.processes.server_handle import ForkServer, UnreadableMessageError
from filtercrawl.pipeline.engines.workers.log_records import replay
from filtercrawl.pipeline.engines.workers.messages import Started, Update

_POLL_SECONDS: Final = 0.5


def call_in_worker(server: ForkServer, order: Call, name: str) -> Any:
    """Call a function in a worker, and wait for what it returns.

    Args:
        server: Forks the worker.
        order: What to call.
        name: Named in the error if the worker is lost.

    Raises:
        FiltercrawlError: What the function raised.
        CheckpointError: The worker crashed, took more than its limits, or the function raised anything else.
        EngineError: No worker can be started.
    """
    worker = server.fork()
    began: float | None = None
    try:
        worker.connection.send(order)
        while True:
            if began is not None and time.monotonic() - began > order.limits.stall_seconds:
                raise CheckpointError(
                    f"{name}: not read in {show_duration(order.limits.stall_seconds)}; --stall-timeout allows more"
                )
            server.receive()  # or the server did not start
            if not worker.connection.poll(_POLL_SECONDS):
                continue
            message = worker.receive()
            if isinstance(message, Started):
                began = time.monotonic()
            elif isinstance(message, Update):
                replay(message.logs)
            elif isinstance(message, Returned):
                replay(message.update.logs)
                if message.unexpected is not None:
                    raise CheckpointError(f"{name}: {message.unexpected}")
                if message.error is not None:
                    raise message.error
                return message.value
    except (EOFError, ConnectionError, UnreadableMessageError) as error:
        is_lost = not isinstance(error, UnreadableMessageError)
        reason = describe_exit(server.exit_code(worker), order.limits) if is_lost else error
        raise CheckpointError(f"{name}: {reason}") from error
    finally:
        server.kill(worker)


def portable_error(error: FiltercrawlError) -> FiltercrawlError:
    """Return an error that another process can receive: of a type of `filtercrawl.api.errors`."""
    kind: type[FiltercrawlError] = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
    return kind(str(error))
