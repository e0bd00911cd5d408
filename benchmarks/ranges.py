"""Measure what it costs to fetch only the kernels of a checkpoint; exits with 1 where a bound does not hold.

python benchmarks/ranges.py wire     bytes and requests of one crawl, by network and format
python benchmarks/ranges.py speed    seconds at 50 MB/s and 1, 20, 100 ms: as planned, the best of a sweep, a download
python benchmarks/ranges.py cap      how true the bandwidth of the server is

The networks are written to a temporary folder (13 GB for all of them), or kept in that of `--files` for the next run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import range_speed
import range_wire
from range_cap import measure
from range_crawl import Knobs
from range_files import FORMATS, Written, write
from range_models import MODELS
from range_server import RangeServer
from ratios import record


def wire(files: Iterator[Written], server: RangeServer) -> list[str]:
    """Print what every crawl brings, with joining off and as planned; returns the bounds that do not hold."""
    print(range_wire.HEADER)
    broken: list[str] = []
    for written in files:
        for knobs in (Knobs(gap=0), Knobs()):
            found = range_wire.wire(written, server, knobs)
            print(found.row(), flush=True)
            record(found.ratios())
            broken += found.broken()
    return broken


def speed(files: Iterator[Written], server: RangeServer, lines: Sequence[range_speed.Line]) -> list[str]:
    """Print how long every batch takes; returns the bounds that do not hold."""
    print(range_speed.HEADER)
    broken: list[str] = []
    for written in files:
        for line in lines:
            found = range_speed.speed(written, server, line)
            print(found.row(), flush=True)
            record(found.ratios())
            broken += found.broken()
    return broken


def cap() -> None:
    print("| connections | MB/s of 50, large ranges | MB/s of 50, ranges of 100 kB | MB/s without a bound |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for number, *rates in measure(Path(place)):
            print(f"| {number} | " + " | ".join(f"{rate:.1f}" for rate in rates) + " |", flush=True)


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="filtercrawl-ranges-") as place:
            yield Path(place)


def words(known: Sequence[str]) -> type[list[str]]:
    """A type of argument: some of these words, between commas."""

    class Words(list[str]):
        def __init__(self, text: str) -> None:
            super().__init__(text.split(","))
            if not set(self) <= set(known):
                raise argparse.ArgumentTypeError(f"{text!r} is not some of {','.join(known)}")

    return Words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("wire", "speed", "cap"))
    parser.add_argument("--files", type=Path, help="keep the networks in this folder")
    parser.add_argument("--models", type=words(MODELS), default=list(MODELS), help="default: all")
    parser.add_argument("--formats", type=words(list(FORMATS)), help="default: all; of `speed`: safetensors,onnx")
    parser.add_argument("--latency", type=float, action="append", help="ms, of `speed`; may be given several times")
    parser.add_argument("--bandwidth", type=float, default=50.0, help="MB/s, of `speed`")
    parser.add_argument("--runs", type=int, default=5, help="of `speed`, of which the median is taken")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leaves no temporary folder behind
    if chosen.part == "cap":
        cap()
        return 0
    forms = chosen.formats or (list(FORMATS) if chosen.part == "wire" else ["safetensors", "onnx"])
    with folder(chosen.files) as place, RangeServer(place) as server:
        files = write(place, chosen.models, forms)
        if chosen.part == "wire":
            broken = wire(files, server)
        else:
            latencies = [latency / 1e3 for latency in chosen.latency or (1, 20, 100)]
            broken = speed(files, server, range_speed.lines(latencies, chosen.bandwidth * 1e6, chosen.runs))
    sys.stderr.writelines(f"{line}\n" for line in broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
