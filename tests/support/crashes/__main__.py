"""Kill sync, analyze, publish and release at random moments, disturb them in other ways, print what was found."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m support.crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="how many (default: 500)")
    parser.add_argument(
        "--faults",
        type=int,
        default=0,
        help="how many other disturbances of each kind, each command in turn (default: 0)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (default: 0)")
    parser.add_argument("--minutes", type=float, default=1e6, help="end after this long")
    parser.add_argument("--scenarios", nargs="*", help="which commands (default: all)")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="crashes-") as folder:
        # Read by huggingface_hub and datasets when they are imported.
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": f"{folder}/huggingface"}
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        return _run(options, Path(folder))


def _run(options: argparse.Namespace, folder: Path) -> int:
    from support.crashes.commands import commands
    from support.crashes.faults import Faults
    from support.crashes.kills import Killer
    from support.crashes.scenarios import NAMES, Scenarios
    from support.forked_python import forked_python

    started = time.monotonic()
    end = started + 60 * options.minutes
    names = options.scenarios or NAMES

    def show(line: str) -> None:
        print(f"{(time.monotonic() - started) / 60:5.1f} min: {line}", flush=True)  # noqa: T201 - a command

    with forked_python("datasets") as python, commands(python) as server:
        scenarios = Scenarios(server, folder / "scenarios")
        killer = Killer(server, scenarios, options.seed)
        killer.run(names, options.kills, end, show)
        disturbed = Faults(server, scenarios, options.seed).run(names, options.faults, end, show)
    figures = killer.figures
    for name in names:
        show(f"{name}: {figures.kills[name]} kills, {figures.finished[name]} finished")
    for kind, number in disturbed.counts.items():
        show(f"{kind}: {number}")
    findings = len(figures.findings) + len(disturbed.findings)
    show(
        f"{figures.kills.total()} kills, {figures.finished.total()} runs that finished after them, {figures.loads} "
        f"killed datasets loaded, {disturbed.counts.total()} other faults, "
        f"{len(figures.left)} temporary folders left, {findings} findings, seed {options.seed}"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
