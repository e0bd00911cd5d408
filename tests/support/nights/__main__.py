"""Play nights of `release`, print what was found."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.nights", description=__doc__)
    parser.add_argument("--nights", type=int, default=30, help="how many (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (default: 0)")
    parser.add_argument("--kinds", nargs="*", help="play these, in this order, instead")
    parser.add_argument("--quick", action="store_true", help="as the short test: read only what is new, once")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="nights-") as folder:
        return _run(options, Path(folder))


def _run(options: argparse.Namespace, folder: Path) -> int:
    from support.nights.kinds import KINDS
    from support.nights.scenario import Scenario, order
    from support.nights.stage import stage

    started, times = time.monotonic(), os.times()

    def show(line: str) -> None:
        print(f"{(time.monotonic() - started) / 60:5.1f} min: {line}", flush=True)  # noqa: T201 - a command

    with stage(folder, options.seed) as world:
        scenario = Scenario(world, thorough=not options.quick, busy=0.0 if options.quick else 0.3, show=show)
        for kind in options.kinds or order(world, options.nights):
            scenario.play(kind, KINDS[kind])
        figures, versions = scenario.figures, len(world.tags())
    now = os.times()
    seconds = now.user + now.system + now.children_user + now.children_system - times.user - times.system
    show(", ".join(f"{number} {kind}" for kind, number in figures.nights.items()))
    for kind, requests in figures.requests.items():
        show(
            f"requests of nights without news, {kind} folder: {min(requests, default=0)} to {max(requests, default=0)}"
        )
    show(
        f"{figures.nights.total()} nights, {figures.runs} runs, {versions} versions, {figures.loads} versions read, "
        f"{seconds:.0f} CPU s, {len(figures.findings)} findings, seed {options.seed}"
    )
    return 1 if figures.findings else 0


if __name__ == "__main__":
    sys.exit(main())
