"""Tell somebody how a release ended, by a command of theirs."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from filtercrawl.api.errors import UsageError
from filtercrawl.config import environment

# Seconds until a command that does not end is ended.
_TIMEOUT_SECONDS: Final = 60.0


def split_command(command: str) -> list[str]:
    """Split a command as a shell would, without being one; raises UsageError where there is none."""
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--notify-cmd: {command!r} is no command ({error})") from error
    if not found:
        raise UsageError("--notify-cmd: is empty")
    return found


def notify(command: str, record: Mapping[str, Any]) -> str | None:
    """Run a command with the record as JSON on its stdin and FILTERCRAWL_OUTCOME in its environment; no shell.

    Returns what went wrong in one line, None where nothing did.
    """
    arguments = split_command(command)
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command
            arguments,
            input=json.dumps(record).encode(),
            env=environment(FILTERCRAWL_OUTCOME=str(record["outcome"])),
            stdout=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"--notify-cmd: {arguments[0]} was ended after {_TIMEOUT_SECONDS:g} s"
    except OSError as error:
        return f"--notify-cmd: {arguments[0]} cannot be run ({error.strerror or error})"
    return f"--notify-cmd: {arguments[0]} ended with {done.returncode}" if done.returncode else None
