"""The runs of `python -m benchmarks` that were kept, and the page that shows them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Self

from ratios import Ratio

FILE: Final = Path(__file__).with_name("history.jsonl")
PAGE: Final = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"
# Earlier values of a ratio that the page shows beside the last one.
EARLIER: Final = 4
_LIBRARIES: Final = ("filtercrawl", "torch", "numpy", "pyarrow", "datasets", "numba")
_HEAD: Final = """# Benchmarks

Ratios to named peers and to limits of the machine, each pair measured in one run. A ratio is that of what the first
column names (speed, time, bytes or memory, of ours) to that of the peer.

```bash
python -m benchmarks           # a short run of each, some minutes; prints the table
python -m benchmarks --full    # at the lengths whose figures the other pages state
python -m benchmarks --list    # what there is, and what it needs beside filtercrawl
```

With `--keep` a run is added to the history, from which this page is written.
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run.

    Attributes:
        date: The day, UTC, ISO 8601.
        full: Whether it had its full length.
        machine: Processor, number of cores, and how many processes wanted to run at the end.
        versions: Versions of the libraries.
        ratios: By benchmark.
    """

    date: str
    full: bool
    machine: str
    versions: Mapping[str, str]
    ratios: Mapping[str, Sequence[Ratio]]

    @classmethod
    def now(cls, *, full: bool, ratios: Mapping[str, Sequence[Ratio]]) -> Self:
        """Describe a run that ends now, on this machine."""
        machine = f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}"
        date = datetime.now(UTC).date().isoformat()
        return cls(date=date, full=full, machine=machine, versions=dict(_versions()), ratios=ratios)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the run of one line of the history."""
        content = json.loads(line)
        content["ratios"] = {name: [Ratio(**each) for each in ratios] for name, ratios in content["ratios"].items()}
        return cls(**content)


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the name of the processor."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def load() -> list[Run]:
    """Return the kept runs, the oldest first."""
    return [Run.from_json(line) for line in FILE.read_text("utf-8").splitlines()] if FILE.is_file() else []


def append(run: Run) -> None:
    """Add a run to the history."""
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(run), sort_keys=True) + "\n")


def table(run: Run, earlier: Sequence[Run] = ()) -> str:
    """Return the ratios of a run as Markdown.

    Args:
        run: The run.
        earlier: Runs of the same length before it, whose values stand in the last column, the latest first.
    """
    lines = ["| what | of | ratio | bound |" + (" before |" if earlier else "")]
    lines.append("|---|---|---:|---:|" + ("---|" if earlier else ""))
    for name, ratios in run.ratios.items():
        for ratio in ratios:
            bound = "" if ratio.at_least is None else f"≥ {ratio.at_least:g}"
            bound = bound if ratio.at_most is None else f"≤ {ratio.at_most:g}"
            value = f"{ratio.value:,.3g}" if ratio.value < 1000 else f"{ratio.value:,.0f}"
            mark = " (missed)" if ratio.holds is False else ""
            line = f"| {ratio.what} | {ratio.peer} | {value} | {bound}{mark} |"
            if earlier:
                past = [f"{each:,.3g}" for each in (_value(old, name, ratio) for old in earlier) if each is not None]
                line += f" {', '.join(past)} |"
            lines.append(line)
    return "\n".join(lines)


def _value(run: Run, name: str, like: Ratio) -> float | None:
    same = (each for each in run.ratios.get(name, ()) if (each.what, each.peer) == (like.what, like.peer))
    return next((each.value for each in same), None)


def page(runs: Sequence[Run]) -> str:
    """Return docs/benchmarks.md: of each length the last run that has each benchmark, with its history."""
    parts = [_HEAD]
    for full, title in ((True, "At full length"), (False, "Short runs")):
        of_kind = [run for run in reversed(runs) if run.full is full]
        names = list(dict.fromkeys(name for run in of_kind for name in run.ratios))
        if names:
            parts.append(f"## {title}\n")
        for name in names:
            having = [run for run in of_kind if name in run.ratios]
            last = having[0]
            used = ", ".join(f"{library} {number}" for library, number in last.versions.items())
            parts.append(f"### `{name}`\n\n{last.date}; {last.machine}; {used}.\n")
            alone = Run(**{**vars(last), "ratios": {name: last.ratios[name]}})
            parts.append(table(alone, having[1 : 1 + EARLIER]) + "\n")
    return "\n".join(parts)
