"""What the errors of Ray say about the attempt that ended with them."""

from __future__ import annotations

from ray import exceptions

from filtercrawl.api.errors import FiltercrawlError, describe_error
from filtercrawl.pipeline.engines.workers.attempt import Loss


def loss_of(error: BaseException, *, started: bool) -> Loss:
    """Tell why an attempt was lost.

    Args:
        error: What Ray raised in place of the worker's next message.
        started: Whether the worker had begun to read the checkpoint.

    Raises:
        FiltercrawlError: The worker refused to work at all.
    """
    if isinstance(error, exceptions.RayTaskError) and not isinstance(error, exceptions.TaskCancelledError):
        cause = error.cause if isinstance(error.cause, Exception) else error
        if isinstance(cause, FiltercrawlError):
            raise cause
        return Loss(reason=f"unexpected {describe_error(cause)}", counts=True)
    if isinstance(error, exceptions.NodeDiedError | exceptions.LocalRayletDiedError):
        return Loss(reason="its machine left the cluster", counts=False)
    if isinstance(error, exceptions.OutOfMemoryError):
        return Loss(reason="its machine ran out of memory", counts=started)
    if isinstance(error, exceptions.WorkerCrashedError):
        return Loss(reason="its process was killed or crashed", counts=started)
    return Loss(reason=f"its results were lost ({type(error).__name__})", counts=False)
