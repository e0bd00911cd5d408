"""A process that computes the calls that it reads from its standard input: `python -m ...engines.worker`."""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO, Final

from filtercrawl_analysis.engines.messages import answer_call

_LENGTH_BYTES: Final = 8


def read_message(pipe: BinaryIO) -> bytes | None:
    """Return the next message; None where the other end was closed or has died."""
    header = pipe.read(_LENGTH_BYTES)
    if len(header) < _LENGTH_BYTES:
        return None
    length = int.from_bytes(header, "little")
    message = pipe.read(length)
    return message if len(message) == length else None


def write_message(pipe: BinaryIO, message: bytes) -> None:
    """Write a message.

    Raises:
        OSError: The other end was closed or has died.
    """
    pipe.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    pipe.write(message)
    pipe.flush()


def main() -> None:
    """Answer calls until the other end closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to all processes; that of the run ends this one
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a function prints does not get between answers
        while (call := read_message(sys.stdin.buffer)) is not None:
            try:
                write_message(answers, answer_call(call))
            except BrokenPipeError:
                return


if __name__ == "__main__":
    main()
