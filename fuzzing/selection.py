"""Which inputs stay in the corpus: small ones that together reach the branches that any of them reaches."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
# Bytes of an input that stays, and inputs of a target that do.
MAX_KEPT_BYTES: Final = 8_192
MAX_INPUTS: Final = 40

# A step from a line of a function to another.
Branch = tuple[CodeType, int, int]
_PACKAGES: Final = (str(ROOT / "plugins"), str(ROOT / "crawler"))


def branches(run: Callable[[bytes], None], data: bytes) -> set[Branch]:
    """Return the steps from line to line of filtercrawl's code that an input takes."""
    taken: set[Branch] = set()
    last: dict[int, int] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 - the signature is Python's
        if event == "call" and not frame.f_code.co_filename.startswith(_PACKAGES):
            return None
        taken.add((frame.f_code, last.get(id(frame), 0), frame.f_lineno))
        last[id(frame)] = 0 if event == "return" else frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(Exception):  # what fails is a finding, kept elsewhere
            run(data)
    finally:
        sys.settrace(before)
    return taken


def select(run: Callable[[bytes], None], paths: Iterable[Path]) -> list[Path]:
    """Return the inputs to keep, small ones first."""
    sized = sorted((path.stat().st_size, path.name, path) for path in paths)
    reached: set[Branch] = set()
    gains: list[tuple[int, Path]] = []
    for size, _, path in sized:
        if size <= MAX_KEPT_BYTES and (new := branches(run, path.read_bytes()) - reached):
            reached |= new
            gains.append((len(new), path))
    gains.sort(key=lambda gain: -gain[0])
    return [path for _, path in gains[:MAX_INPUTS]]


def replace_corpus(run: Callable[[bytes], None], corpus: Path, new: Path) -> None:
    """Add the inputs of a folder to a corpus, and remove those that the others make superfluous."""
    kept = set(select(run, [*corpus.iterdir(), *new.iterdir()]))
    for path in kept:
        if path.parent != corpus:
            shutil.copyfile(path, corpus / path.name)
    for path in set(corpus.iterdir()) - {corpus / path.name for path in kept}:
        path.unlink()
