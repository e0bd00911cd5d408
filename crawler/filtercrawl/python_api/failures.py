"""Failures by cause: what to do about many at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from filtercrawl.api.formatting import escape_control, format_count, shorten

# Examples that are shown of a cause.
_EXAMPLES: Final = 3
# Characters of a reason that names its own group.
_MAX_CAUSE: Final = 100
_OTHER: Final = "`filtercrawl inspect SELECTOR` shows what can be read"
_FETCH_AGAIN: Final = "fetch the file again; if it stays so, tell whoever publishes it"
# Causes, the words of reasons that tell them, and what to do. The first one that fits counts.
_CAUSES: Final = tuple(
    (cause, re.compile(words), advice)
    for cause, words, advice in (
        ("fault of filtercrawl or of a plugin", r"please report this as a bug", "report it with the reason"),
        (
            "access denied",
            r"HTTP 40[13]\b|access denied|access is not granted|not on the Hub, or private|disabled by the Hub",
            "accept the terms on the page of the repository, and name a token: HF_TOKEN or [auth]",
        ),
        (
            "budget used up",
            r"the budget of ",
            "run again, or allow more with --max-requests and --max-bytes",
        ),
        (
            "not there",
            r"HTTP 4(?:04|10)\b|: not found",
            "the source lists what its server does not have; tell whoever runs it",
        ),
        (
            "server or network",
            r"HTTP \d{3}\b|cannot be reached|times in a row|in time\b|asks to wait|no name server|certificate",
            "tried again when due; `sync --retry all` tries now",
        ),
        ("changed while it was read", r"changed while it was read", "tried again when due"),
        (
            "out of memory",
            r"out of memory|of memory\b",
            "give it more: --memory-limit, or --jobs 1",
        ),
        (
            "too slow",
            r"of CPU time|no progress for",
            "allow more: --cpu-limit, --reading-limit, --stall-timeout",
        ),
        (
            "its reader died",
            r"its process (?:crashed|ended early)",
            "keep the file and report it",
        ),
        (
            "code that is not allowed",
            r"code tried to ",
            "do not load the file with anything else; if a plugin reads it, report that",
        ),
        (
            "names code",
            r"^names .*(?:not run|would run)",
            "do not load it elsewhere; if you trust it and it is refused, set refuse_code to false",
        ),
        (
            "another file than recorded",
            r"is recorded|sha256",
            "do not use it; tell whoever publishes the file",
        ),
        ("part missing", r"which is not beside it", "put all files of the checkpoint into its folder"),
        (
            "Git LFS pointer",
            r"a Git LFS pointer",
            "run `git lfs pull` in its repository, or download the file itself",
        ),
        (
            "not a file of weights",
            r"the file is empty|not a file of weights",
            "download it again",
        ),
        (
            "damaged or cut off",
            r"the file is a damaged",
            _FETCH_AGAIN,
        ),
        (
            "of no known format",
            r"of no known format",
            "download it again; if it stays so and holds weights, "
            "a plugin can read it: `filtercrawl plugin new NAME --kind reader`",
        ),
        (
            "format without a reader",
            r"no reader claims|is (?:un|not )supported|big-endian",
            "a plugin can read it: `filtercrawl plugin new NAME --kind reader`",
        ),
        (
            "damaged or cut off",
            r"fetch (?:it|both) again|ends early|ends (?:in|within|at)|truncated|checksum|CRC|not valid|\binvalid\b"
            r"|cut off|do not fit|the file has",
            _FETCH_AGAIN,
        ),
        (
            "beyond the limits for untrusted files",
            r"at most|more than|deeper than|claims|exceeds",
            "nothing is to be done unless it comes from a source that you trust; then report it",
        ),
    )
)
# What differs between reasons of one kind: quoted names, hashes, numbers.
_DETAILS: Final = re.compile(r"""'[^']*'|"[^"]*"|\b[0-9a-f]{8,}\b|\d[\d,.]*""")


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Checkpoints that failed for one cause.

    Attributes:
        cause: The cause in a few words.
        advice: What to do.
        count: How many checkpoints.
        examples: Reason by model id of some of them.
    """

    cause: str
    advice: str
    count: int
    examples: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the group as `status --failed --json` prints it."""
        return {"cause": self.cause, "advice": self.advice, "count": self.count, "examples": dict(self.examples)}

    def __str__(self) -> str:
        lines = [f"{format_count(self.count)}: {escape_control(self.cause)}; {self.advice}"]
        lines += [f"  {escape_control(name)}: {escape_control(reason)}" for name, reason in self.examples.items()]
        if more := self.count - len(self.examples):
            lines.append(f"  and {format_count(more)} more")
        return "\n".join(lines)


def group_failures(failed: Mapping[str, str | None]) -> list[FailureGroup]:
    """Group failed checkpoints by cause, the most frequent first; each is in one group.

    Args:
        failed: Reason by model id.
    """
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for name, reason in sorted(failed.items()):
        groups.setdefault(_cause_of(reason or "unknown"), {})[name] = reason or "unknown"
    found = [
        FailureGroup(cause=cause, advice=advice, count=len(names), examples=dict(list(names.items())[:_EXAMPLES]))
        for (cause, advice), names in groups.items()
    ]
    return sorted(found, key=lambda group: (-group.count, group.cause))


def _cause_of(reason: str) -> tuple[str, str]:
    for cause, words, advice in _CAUSES:
        if words.search(reason):
            return cause, advice
    what, _, advice = _DETAILS.sub("…", reason).partition("; ")
    return shorten(what, _MAX_CAUSE), advice or _OTHER
