"""What is wrong with a plugin, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

# What a check finds, and what to do about it: one line each.
Violation = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check that a plugin fails.

    Attributes:
        check: Name of the check.
        what: What is wrong, in one line.
        what_to_do: What to do, in one line.
    """

    check: str
    what: str
    what_to_do: str

    def __str__(self) -> str:
        return f"{self.check}: {self.what} -> {self.what_to_do}"
