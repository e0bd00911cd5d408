"""What is wrong with a plugin, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

# What a check finds, and what to do about it: one line each.
Violation = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A promise that a plugin does not keep. check: its name among the checks; what, what_to_do: one line each."""

    check: str
    what: str
    what_to_do: str

    def __str__(self) -> str:
        return f"{self.check}: {self.what} -> {self.what_to_do}"
