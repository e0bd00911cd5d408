"""Fuzzes one target in this process by Atheris, which traces branches and comparisons; started by `fuzzing.__main__`.

Arguments: the target, a folder for findings, and those of libFuzzer. An input that raises, takes over two seconds of
CPU time or over 500 MB of memory is written to the folder with what happened, and the run goes on, so that one run
shows all faults.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import Final

import atheris

with atheris.instrument_imports(include=["filtercrawl_plugins", "filtercrawl"]):
    from fuzzing.targets import TARGETS
from fuzzing.mutations import mutate

MAX_SECONDS: Final = 2.0
MAX_KIB: Final = 500 * 1024


class Worker:
    """Runs inputs and keeps those that fail, one of each kind."""

    def __init__(self, name: str, folder: Path) -> None:
        self._target = TARGETS[name]
        self._folder = folder
        self._known: set[str] = set()
        self._peak = 0

    def test(self, data: bytes) -> None:
        """Run one input."""
        if not self._peak:
            self._peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # What takes long is run again: the first input of a kind imports modules.
        if self._run(data) > MAX_SECONDS and (seconds := self._run(data)) > MAX_SECONDS:
            self._keep(data, "time", f"{seconds:.1f} s of CPU time")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if peak - self._peak > MAX_KIB:
            self._keep(data, "memory", f"{(peak - self._peak) // 1024} MiB")
        self._peak = max(peak, self._peak)

    def _run(self, data: bytes) -> float:
        """Return the seconds of CPU time that an input takes."""
        start = time.process_time()
        try:
            self._target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self._keep(data, f"{type(error).__name__} at {frame.filename}:{frame.lineno}", traceback.format_exc())
        return time.process_time() - start

    def change(self, data: bytes, max_size: int, seed: int) -> bytes:
        """Return a changed input."""
        return mutate(data, self._target.form, Random(seed), atheris.Mutate, max_size)

    def _keep(self, data: bytes, kind: str, what: str) -> None:
        if kind in self._known:
            return
        self._known.add(kind)
        name = hashlib.sha256(data).hexdigest()[:16]
        (self._folder / name).write_bytes(data)
        (self._folder / f"{name}.txt").write_text(f"{kind}\n{what}\n")


def main() -> None:
    """Fuzz the target of the command line."""
    name, folder, *options = sys.argv[1:]
    worker = Worker(name, Path(folder))
    atheris.Setup([sys.argv[0], *options], worker.test, custom_mutator=worker.change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
