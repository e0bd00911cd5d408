"""What the checkpoints of one source cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

# Outcomes by which a checkpoint that was crawled is counted; others by why they were crawled.
OTHER_OUTCOMES: Final = ("renamed", "duplicate", "failed")
CRAWLED: Final = ("new", "changed", "retry", *OTHER_OUTCOMES)


@dataclass(kw_only=True)
class Cost:
    """What the checkpoints of one source cost, or in a dry run are expected to cost.

    Attributes:
        checkpoints: Counts of checkpoints by what was done with them.
        bytes: Bytes read or fetched.
        total_bytes: Size of the files.
        requests: Requests sent for the files.
        n_in_full: Checkpoints that are fetched in full, since most of their bytes are needed.
        n_upper_bounds: In a dry run, checkpoints of unknown architecture: their bytes are those of the whole files,
            and their requests are not counted.
    """

    checkpoints: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    total_bytes: int = 0
    requests: int = 0
    n_in_full: int = 0
    n_upper_bounds: int = 0

    @property
    def share(self) -> float | None:
        """Fraction of the files that is fetched; None if nothing is, or more than the size of a small file."""
        return self.bytes / self.total_bytes if 0 < self.bytes <= self.total_bytes else None

    def to_dict(self) -> dict[str, Any]:
        """Return the cost as `--json` prints it."""
        counts = {word: self.checkpoints[word] for word in (*CRAWLED, "removed")}
        share = None if self.share is None else round(self.share, 6)
        return counts | {
            "bytes": self.bytes, "bytes_offered": self.total_bytes, "share": share, "requests": self.requests,
            "whole": self.n_in_full, "at_most": self.n_upper_bounds,
        }  # fmt: skip
