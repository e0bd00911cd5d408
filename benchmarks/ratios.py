"""What benchmarks compare: ratios to named peers and to limits of the machine that were measured in the same run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

# Names the file to which a benchmark appends its ratios; `python -m benchmarks` sets it.
RATIOS_FILE: Final = "FILTERCRAWL_RATIOS_FILE"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One comparison.

    Attributes:
        what: What was measured, with its size.
        peer: What it was compared with: another tool, or a limit of the machine.
        value: The ratio; whether more is better follows from the bound.
        at_least: The smallest value that is good enough; None where less is better, or without a bound.
        at_most: The largest value that is good enough; None where more is better, or without a bound.
    """

    what: str
    peer: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the value is within its bound; None without one."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


def record(ratios: Iterable[Ratio]) -> None:
    """Append ratios, one JSON object a line, to the file that the environment names; nothing without one."""
    if target := os.environ.get(RATIOS_FILE):
        with Path(target).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(ratio)) + "\n" for ratio in ratios)


def read(path: Path) -> list[Ratio]:
    """Return the ratios that benchmarks appended to a file."""
    return [Ratio(**json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
