"""What an engine sends to another process, and what comes back: pickled, as both ends are of the same user."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filtercrawl.api.errors import describe_error
from filtercrawl_analysis.engines.engine import compute


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an item.

    Attributes:
        value: The function's value.
        error: What it raised; None if it did not.
        unknown: Whether the other process cannot load the function or the item, or not send the value.
    """

    value: Any = None
    error: Exception | None = None
    unknown: bool = False


def pack_call(function: Callable[[Any], Any], item: Any) -> bytes | None:
    """Return a call as bytes; None where another process cannot load it, such as a lambda or what a script defines."""
    try:
        call = pickle.dumps((function, item), pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever an item of a plugin raises
        return None
    return None if b"__main__" in call else call  # which is another module there, perhaps with the same names


def answer_call(call: bytes) -> bytes:
    """Compute a packed call and return its packed `Outcome`."""
    try:
        function, item = pickle.loads(call)  # noqa: S301 - from the process of the run
    except Exception:  # noqa: BLE001 - whatever an import raises
        return pickle.dumps(Outcome(unknown=True))
    try:
        outcome = Outcome(value=compute(function, item))
    except Exception as error:  # noqa: BLE001 - the process of the run raises it again
        return _pack_error(error)
    try:
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever a value of a plugin raises
        return pickle.dumps(Outcome(unknown=True))


def unpack_outcome(answer: bytes) -> Outcome:
    """Return the outcome that `answer_call` packed."""
    outcome: Outcome = pickle.loads(answer)  # noqa: S301 - from a process that this one has started
    return outcome


def _pack_error(error: Exception) -> bytes:
    try:
        packed = pickle.dumps(Outcome(error=error))
        pickle.loads(packed)  # noqa: S301 - errors with arguments of their own may fail only here
    except Exception:  # noqa: BLE001 - any error of a plugin
        return pickle.dumps(Outcome(error=RuntimeError(describe_error(error))))
    return packed
