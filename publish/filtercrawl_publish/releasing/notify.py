"""Run the user's notification command at the end of a release."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config import environment

__all__ = ["notify", "split_command"]

# A command that takes longer is killed.
_TIMEOUT_SECONDS: Final = 60.0


def split_command(command: str) -> list[str]:
    """Split a command line into words by shell quoting rules; no shell is used.

    Raises:
        UsageError: It is empty or a quotation is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--notify-cmd: {command!r} is no command ({error})") from error
    if not words:
        raise UsageError("--notify-cmd: the command is empty")
    return words


def notify(command: str, record: Mapping[str, Any]) -> str | None:
    """Run a command, without a shell, with the record as JSON on stdin and FILTERCRAWL_OUTCOME in its environment.

    Returns:
        What went wrong, None for success.
    """
    arguments = split_command(command)
    try:
        process = subprocess.run(  # noqa: S603 - the user's own command
            arguments,
            input=json.dumps(record).encode(),
            env=environment(FILTERCRAWL_OUTCOME=str(record["outcome"])),
            stdout=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"--notify-cmd: {arguments[0]} was killed after {_TIMEOUT_SECONDS:g} s"
    except OSError as error:
        return f"--notify-cmd: {arguments[0]} cannot be run ({error.strerror or error})"
    return f"--notify-cmd: {arguments[0]} exited with {process.returncode}" if process.returncode else None
