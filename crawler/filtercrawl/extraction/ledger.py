"""Ledger entries: every tensor of a checkpoint, emitted or skipped with a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One line of the ledger: a tensor, emitted (reason None) or skipped."""

    tensor: str
    shape: tuple[int, ...]
    dtype: str
    reason: str | None
