"""Fuzz readers and parsers, guided by the branches that inputs reach; needs Atheris (extra `fuzz`).

python -m fuzzing NAME ... --executions 1000000    these targets, one after the other; without a name all
python -m fuzzing --jobs 4 --keep                  four at once; inputs that reach new branches are added to the corpus
python -m fuzzing --seed 1                         the same inputs each time
python -m fuzzing --list                           the names

Prints for each target the executions, seconds, branches and findings, and exits with 1 where there are findings: inputs
that end in anything but an error of filtercrawl, take over two seconds of CPU time or over 500 MB of memory. What
happened is printed, and is beside the input in the folder `--findings`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fuzzing.selection import replace_corpus
from fuzzing.targets import TARGETS

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzzing" / "corpus"
# Bytes of an input.
MAX_BYTES = 16_384
# Seconds after which libFuzzer ends an execution that hangs.
HANG_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Result:
    """What fuzzing one target found.

    Attributes:
        name: The target.
        executions: Inputs that were run.
        seconds: Time that they took.
        branches: Branches of filtercrawl that they reached.
        findings: Files of inputs that failed.
        problem: The end of the output of a fuzzer that died; empty for one that did not.
    """

    name: str
    executions: int
    seconds: int
    branches: int
    findings: tuple[Path, ...]
    problem: str


def fuzz(name: str, executions: int, findings: Path, *, seed: int, keep: bool) -> Result:
    """Fuzz a target in a process of its own; seed 0 is one by chance."""
    folder = findings / name
    folder.mkdir(parents=True, exist_ok=True)
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as new:
        limits = [
            f"-max_len={MAX_BYTES}",
            f"-timeout={HANG_SECONDS}",
            "-rss_limit_mb=4096",
            f"-runs={executions}",
            f"-seed={seed}",
        ]
        output = libfuzzer(name, folder, [*limits, f"-artifact_prefix={folder}/", new, str(corpus)])
        if keep:
            replace_corpus(TARGETS[name].run, corpus, Path(new))
    states = re.findall(r"^#(\d+)\s+\w+\s+cov: (\d+)", output, re.MULTILINE)
    done = re.search(r"^Done (\d+) runs in (\d+) second", output, re.MULTILINE)
    return Result(
        name=name,
        executions=int(done[1]) if done else int(states[-1][0]) if states else 0,
        seconds=int(done[2]) if done else 0,
        branches=int(states[-1][1]) if states else 0,
        findings=tuple(sorted(path for path in folder.iterdir() if path.suffix != ".txt")),
        problem="" if done else output[-2_000:],
    )


def described(finding: Path) -> str:
    """Return what happened with an input; of one that libFuzzer kept itself, its path."""
    text = finding.with_suffix(".txt")
    return f"{finding}: {text.read_text('utf-8')}" if text.exists() else str(finding)


def libfuzzer(name: str, folder: Path, options: list[str]) -> str:
    """Run the worker of a target and return what it prints."""
    command = [sys.executable, "-m", "fuzzing.worker", name, str(folder), *options]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return ended.stdout.decode("utf-8", "replace")


def main() -> int:
    """Fuzz what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all without one")
    parser.add_argument("--executions", type=int, default=100_000, help="of each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once")
    parser.add_argument("--seed", type=int, default=0, help="of all choices, for the same inputs each time")
    parser.add_argument("--findings", type=Path, default=Path("fuzzing-findings"), help="folder for inputs that fail")
    parser.add_argument("--keep", action="store_true", help="add inputs that reach new branches to the corpus")
    parser.add_argument("--list", action="store_true", help="print the names of the targets")
    options = parser.parse_args()
    if unknown := set(options.names) - TARGETS.keys():
        parser.error(f"unknown targets: {', '.join(sorted(unknown))}; --list names all")
    names = options.names or list(TARGETS)
    if options.list:
        print("\n".join(names))
        return 0
    failed = False
    print("| target | executions | seconds | branches | findings |\n|---|---:|---:|---:|---:|", flush=True)
    one = partial(
        fuzz, executions=options.executions, findings=options.findings.resolve(), seed=options.seed, keep=options.keep
    )
    with ThreadPoolExecutor(options.jobs) as pool:
        for result in pool.map(one, names):
            figures = (result.executions, result.seconds, result.branches, len(result.findings))
            print(f"| {result.name} | {' | '.join(f'{figure:,}' for figure in figures)} |", flush=True)
            failed |= bool(result.findings or result.problem)
            for finding in result.findings:
                print(described(finding), file=sys.stderr)
            if result.problem:
                print(f"{result.name}: the fuzzer ended early:\n{result.problem}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
