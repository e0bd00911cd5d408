"""Ledger entries: every tensor of a checkpoint, emitted or skipped with a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger: a tensor, emitted (reason None) or skipped.

    Attributes:
        tensor: Its name.
        shape: Size of each axis.
        dtype: Stored dtype.
        reason: Why it is not emitted, a word of `filtercrawl.api.vocabulary.REASONS`.
        rule: The rule that decided, a word of `filtercrawl.extraction.rules.RULES` or of a reader; None where it was
            not kept: only `filtercrawl inspect` shows it.
    """

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    reason: str | None
    rule: str | None = None
