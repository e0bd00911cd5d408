"""Measure analyses against the notebook of CNN Filter DB and torchconvquality in one run, for benchmarks/analysis.md.

python benchmarks/analysis.py                   all sizes: about 2, 8 and 32 million kernels of 3x3
python benchmarks/analysis.py --networks 2 7    two sizes, in networks of 1,220,608 kernels; prints and writes nothing

CPU seconds of one thread, the median of interleaved runs, each in a process of its own. Memory is the peak above what
the imports take. Exits with 1 where a bound does not hold. Needs scikit-learn, torchconvquality, numba, 5 GB of disk,
and for the notebook's part at the largest size 10 GB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from analysis_data import KERNELS
from ratios import Ratio, record

REPORT: Final = Path(__file__).with_suffix(".md")
NETWORKS: Final = (2, 7, 26)
STEPS: Final = ("notebook", "newer", "exact", "sketch", "made")
# Of the issue: ratios of CPU seconds, bytes, and how far results may lie apart.
FASTER: Final = {"exact": 12, "sketch": 20}
REGROUPED: Final = 1000
QUALITY: Final = 4
MEMORY: Final = 150e6
DRIFT: Final = 1e-5
ENTROPY: Final = 1e-6
WHAT: Final = {
    "notebook": "the notebook, PCA as in its pinned scikit-learn",
    "newer": "the notebook, PCA of a newer scikit-learn",
    "exact": "exact: the dataset's kernels, own basis and range",
    "sketch": "sketch: the dataset's sketches",
    "made": "making the sketches: every kernel read and sketched",
}

Row = dict[str, Any]


def step(name: str, folder: Path) -> Row:
    """Run one step in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve().with_name("analysis_step.py")), name, str(folder)]
    found: Row = alone(command)
    return found


def quality_of(model: str) -> Row:
    """Compare the quality measures of a model in a process of its own."""
    code = f"import json, analysis_quality; print(json.dumps(analysis_quality.compare({model!r}, 5)))"
    found: Row = alone([sys.executable, "-c", code])
    return found


def alone(command: list[str]) -> Any:
    """Return the JSON of the last line that a command prints, run with one thread from its first import on."""
    environment = os.environ | {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, cwd=Path(__file__).resolve().parent
    ).stdout
    return json.loads(answer.splitlines()[-1])


def measure(networks: int, rounds: int) -> tuple[list[Row], Row]:
    """Return a row a step, and how far exact and sketch mode lie from the notebook."""
    with tempfile.TemporaryDirectory(prefix="filtercrawl-analysis-") as place:
        folder = Path(place)
        # In a process of its own: what a sync keeps in memory is not this program's.
        code = f"from pathlib import Path; from analysis_data import write; write(Path({place!r}), {networks})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
        found: dict[str, list[Row]] = {name: [] for name in STEPS}
        for _ in range(rounds):
            for name in STEPS:
                found[name].append(step(name, folder))
                sys.stderr.write(f"{networks} {name} {found[name][-1]}\n")
        notebook, exact, sketch = (np.load(folder / f"{name}.npz") for name in ("notebook", "exact", "sketch"))
        apart = {
            "drift": float(np.abs(notebook["drift"] - exact["drift"]).max()),
            "largest": float(notebook["drift"].max()),
            "basis": float(np.abs(notebook["drift"] - sketch["drift"]).max()),
            "entropy": float(np.abs(notebook["entropy"] - sketch["entropy"]).max()),
            "sparsity": bool((notebook["sparsity"] == sketch["sparsity"]).all()),
        }
    rows = []
    for name, runs in found.items():
        row = {"step": name, "kernels": networks * KERNELS}
        row |= {key: statistics.median(run[key] for run in runs) for key in ("cpu", "wall")}
        row["memory"] = max(run["memory"] for run in runs)
        row["regroup"] = min((run["regroup"] for run in runs if "regroup" in run), default=None)
        rows.append(row)
    for row in rows:
        row["ratio"] = rows[0]["cpu"] / row["cpu"]
        row["regrouped"] = None if row["regroup"] is None else rows[0]["regroup"] / row["regroup"]
    return rows, apart


def broken(rows: list[Row], apart: Row) -> list[str]:
    """Return the bounds that do not hold."""
    out = []
    for row in rows:
        name, size = row["step"], f"{row['kernels']:,} kernels"
        if row["ratio"] < FASTER.get(name, 0):
            out.append(f"{size}: {name} is {row['ratio']:.1f}x the notebook, less than {FASTER[name]}x")
        if name == "sketch" and row["regrouped"] < REGROUPED:
            out.append(f"{size}: regrouping is {row['regrouped']:.0f}x, less than {REGROUPED}x")
        if name in FASTER and row["memory"] > MEMORY:
            out.append(f"{size}: {name} takes {row['memory'] / 1e6:.0f} MB, more than {MEMORY / 1e6:.0f}")
    size = f"{rows[0]['kernels']:,} kernels"
    if apart["drift"] > DRIFT or apart["entropy"] > ENTROPY or not apart["sparsity"]:
        out.append(f"{size}: results differ from the notebook's: {apart}")
    return out


def ratios(measured: list[tuple[list[Row], Row]], quality: list[Row]) -> Iterator[Ratio]:
    """Yield what the tables compare."""
    for rows, _ in measured:
        for row in rows[2:]:
            bound = FASTER.get(row["step"])
            what = f"{WHAT[row['step']]}; {row['kernels'] / 1e6:.1f} million kernels, speed"
            yield Ratio(what=what, peer="the notebook of CNN Filter DB", value=row["ratio"], at_least=bound)
    for row in quality:
        for way, ours in (("plain", "plain"), ("compiled", "ours")):
            what = f"quality of {row['model']}, {way}, speed"
            yield Ratio(what=what, peer="torchconvquality", value=row["theirs"] / row[ours], at_least=QUALITY)


def tables(measured: list[tuple[list[Row], Row]], quality: list[Row]) -> list[str]:
    """Return the lines of all tables."""
    lines = [
        "## From file to drift, entropy and sparsity",
        "",
        "| kernels | what | CPU s | times the notebook | seconds | MB above imports | regrouping, ms | times |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rows, _ in measured:
        for row in rows:
            again = "| |" if row["regroup"] is None else f"| {row['regroup'] * 1e3:.2f} | {row['regrouped']:,.0f}"
            lines.append(
                f"| {row['kernels']:,} | {WHAT[row['step']]} | {row['cpu']:.2f} | {row['ratio']:.1f} "
                f"| {row['wall']:.2f} | {row['memory'] / 1e6:.0f} {again} |"
            )
    lines += [
        "",
        "## Agreement with the notebook",
        "",
        "| kernels | largest drift | exact mode differs by | sketch mode, another basis, by | entropy by | sparsity |",
        "|---|---|---|---|---|---|",
    ]
    for rows, apart in measured:
        lines.append(
            f"| {rows[0]['kernels']:,} | {apart['largest']:.4f} | {apart['drift']:.1e} | {apart['basis']:.1e} "
            f"| {apart['entropy']:.1e} | {'equal' if apart['sparsity'] else 'differs'} |"
        )
    lines += [
        "",
        "## Quality of a model",
        "",
        "ms of torchconvquality, of ours without and with numba, and of ours with numba and the sketch:",
        "",
        "| model | 3x3 kernels | torchconvquality | plain | times | compiled | times | with the sketch | times |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in quality:
        ours = (f"{row[name] * 1e3:.0f} | {row['theirs'] / row[name]:.1f}" for name in ("plain", "ours", "sketched"))
        lines.append(f"| {row['model']} | {row['kernels']:,} | {row['theirs'] * 1e3:.0f} | {' | '.join(ours)} |")
    return lines


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, nargs="+", help="sizes, in networks; default: 2, 7 and 26")
    parser.add_argument("--rounds", type=int, default=3, help="of each size; of the largest there is one")
    chosen = parser.parse_args()
    quality = [quality_of(model) for model in ("resnet18", "resnet50")]
    sizes = chosen.networks or NETWORKS
    measured = [measure(size, 1 if size == max(NETWORKS) else chosen.rounds) for size in sizes]
    wrong = [line for rows, apart in measured for line in broken(rows, apart)]
    for row in quality:
        for ours in ("plain", "ours"):
            ratio = row["theirs"] / row[ours]
            if ratio < QUALITY:
                wrong.append(f"{row['model']}: quality, {ours}, is {ratio:.1f}x torchconvquality, less than {QUALITY}x")
    record(ratios(measured, quality))
    libraries = ("torch", "numpy", "pyarrow", "scikit-learn", "torchconvquality", "numba")
    head = [
        "# Analyses, measured",
        "",
        f"Written by `python benchmarks/analysis.py`; {processor()}; one thread; "
        + ", ".join(f"{name} {version(name)}" for name in libraries)
        + ".",
        "CPU seconds are medians of interleaved runs, each in a process of its own, files warm in memory.",
        "",
    ]
    tail = ["", "## Bounds that do not hold", "", *([f"- {line}" for line in wrong] or ["None."])]
    text = "\n".join([*head, *tables(measured, quality), *tail]) + "\n"
    print(text)
    if chosen.networks is None:
        REPORT.write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
