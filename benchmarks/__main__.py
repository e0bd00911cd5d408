"""Run the benchmarks and put their ratios to named peers and limits into one table.

python -m benchmarks                  a short run of each, some minutes; prints the table
python -m benchmarks NAME ...         only these
python -m benchmarks --full           at the lengths whose figures the docs state; writes each benchmark's own report
python -m benchmarks --keep           also adds the run to the history, which docs/benchmarks.md shows
python -m benchmarks --list           what there is, and what it needs

A benchmark whose needs are not installed is left out, with a line that says so. Exits with 1 where a benchmark fails or
a bound does not hold.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))  # `-m` puts the current folder there, not that of the program

from history import PAGE, Run, append, load, page, table  # noqa: E402
from ratios import RATIOS_FILE, Ratio, read  # noqa: E402
from suite import SUITE, Benchmark  # noqa: E402


def missing(benchmark: Benchmark) -> list[str]:
    """Return the distributions that a benchmark needs and that are not installed."""
    return [name for name in benchmark.needs if not is_installed(name)]


def is_installed(distribution: str) -> bool:
    """Tell whether a distribution is installed."""
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def run(benchmark: Benchmark, *, full: bool) -> tuple[list[Ratio], bool]:
    """Run one benchmark in a process of its own.

    Returns:
        Its ratios, and whether it ended well.
    """
    with tempfile.TemporaryDirectory(prefix="filtercrawl-benchmarks-") as scratch:
        ratios = Path(scratch) / "ratios.jsonl"
        command = [sys.executable, str(FOLDER / benchmark.script), *(benchmark.full if full else benchmark.quick)]
        environment = os.environ | {RATIOS_FILE: str(ratios)}
        done = subprocess.run(command, check=False, env=environment, stdout=sys.stderr)
        return read(ratios), done.returncode == 0


def listing() -> str:
    """Return a line for each benchmark."""
    width = max(len(benchmark.name) for benchmark in SUITE)
    lines = []
    for benchmark in SUITE:
        lacking = missing(benchmark)
        lines.append(f"{benchmark.name:<{width}}  {benchmark.about}")
        if lacking:
            lines[-1] += f"; needs {', '.join(lacking)}"
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="as `--list` has them; a part counts as well: ranges")
    parser.add_argument("--full", action="store_true", help="at full length")
    parser.add_argument("--keep", action="store_true", help="add the run to the history and write its page")
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print(listing())
        return 0
    known = {word for benchmark in SUITE for word in (benchmark.name, benchmark.name.split()[0])}
    if unknown := [name for name in chosen.names if name not in known]:
        parser.error(f"no benchmark is called {unknown[0]!r}; --list shows them")
    wanted = [b for b in SUITE if not chosen.names or {b.name, b.name.split()[0]} & set(chosen.names)]
    found: dict[str, list[Ratio]] = {}
    failed = []
    for benchmark in wanted:
        if lacking := missing(benchmark):
            print(f"{benchmark.name}: left out, needs {', '.join(lacking)}", file=sys.stderr)
            continue
        started = time.monotonic()
        ratios, ended_well = run(benchmark, full=chosen.full)
        print(f"{benchmark.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        if not ended_well:
            failed.append(benchmark.name)
        found[benchmark.name] = ratios
    result = Run.now(full=chosen.full, ratios=found)
    print(table(result))
    if chosen.keep:
        append(result)
        PAGE.write_text(page(load()), "utf-8")
    for name in failed:
        print(f"{name}: failed, or a bound does not hold", file=sys.stderr)
    broken = any(ratio.holds is False for ratios in found.values() for ratio in ratios)
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
