"""Mutation testing of the rules that decide: change one thing at a time, and see whether a test notices.

python -m support.mutation planner                  every mutant of a target
python -m support.mutation --limit 200 --seed 1     a sample of each target

Prints the mutants that survive. Those in `explained.toml` do not matter, for the reason that stands there; the exit
code is 1 where another one survives.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from support.forked_python import forked_python
from support.mutation.runner import Runner, trials_of
from support.mutation.targets import TARGETS

EXPLAINED = Path(__file__).with_name("explained.toml")


def explanations() -> dict[str, str]:
    """Return why mutants that survive do not matter, by their names."""
    groups = tomllib.loads(EXPLAINED.read_text("utf-8"))["survivors"]
    return {f"{group['module']} {change}": group["why"] for group in groups for change in group["changes"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m support.mutation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--limit", type=int, help="how many mutants of each target (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (default: 1)")
    parser.add_argument("--match", default="", help="only mutants whose names have this text")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="mutation-") as home:
        # Read by huggingface_hub and datasets when they are imported.
        os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": home, "HF_HUB_DISABLE_XET": "1"}
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    explained, matter, started = explanations(), 0, time.monotonic()

    def show(line: str) -> None:
        print(f"{(time.monotonic() - started) / 60:5.1f} min: {line}", flush=True)  # noqa: T201 - a command

    imports = ("datasets", "filelock", "hypothesis.strategies", "pytest", "sqlite3")
    with forked_python(*imports) as python, forked_python() as children:
        for name in options.targets or TARGETS:
            trials = [trial for trial in trials_of(TARGETS[name]) if options.match in trial.name]
            if options.limit is not None and options.limit < len(trials):
                chosen = random.Random(options.seed).sample(range(len(trials)), options.limit)
                trials = [trials[position] for position in sorted(chosen)]
            counts: Counter[str] = Counter()
            with TemporaryDirectory(prefix="mutation-") as folder:
                for trial, outcome in Runner(python, children, TARGETS[name], Path(folder)).run(trials, options.jobs):
                    survives = outcome in ("survived", "unreached")
                    counts["explained" if survives and trial.name in explained else outcome] += 1
                    if survives and trial.name not in explained:
                        matter += 1
                        show(f"{outcome}: {trial.name} (line {trial.mutant.line})")
            figures = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
            show(f"{name}: {counts.total()} mutants, {figures}, seed {options.seed}")
    return 1 if matter else 0


if __name__ == "__main__":
    sys.exit(main())
