"""Run tests with one mutant in place of its module, or without to see which test calls which function.

The changed module exists in this process only, compiled where it is imported.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Final

import pytest

from support import forked_python
from support.mutation.operators import mutants

# The exit code where a test fails; that of Python where it cannot start is another.
KILLED: Final = 10


class _Finder:
    """Finds one module, changed."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> object:
        if name != self._name:
            return None
        loader = SourceFileLoader(name, str(self._path))
        loader.get_code = lambda _: self._code  # type: ignore[method-assign]
        spec: ModuleSpec | None = spec_from_file_location(name, self._path, loader=loader)
        return spec


def install(root: Path, module: str, index: int) -> None:
    """Change a module that is not imported yet.

    Args:
        root: Of the repository.
        module: Path below it.
        index: Of the mutant.
    """
    path = root / module
    tree = ast.parse(path.read_bytes())
    mutants(tree)[index].apply()
    name = ".".join(Path(module).with_suffix("").parts[1:])  # below the folder of the distribution
    assert name not in sys.modules
    sys.meta_path.insert(0, _Finder(name, path, compile(tree, str(path), "exec")))  # type: ignore[arg-type]


def function_lines(tree: ast.Module) -> list[int]:
    """Return the first lines of the functions and methods of a module that are in no other function, sorted."""
    lines = {mutant.function for mutant in mutants(tree)}
    return sorted(line for line in lines if line is not None)


class Reach:
    """A plugin of pytest that sees which test calls which function, and how long it takes.

    A function that a fixture calls counts for all tests of the file: they may share the fixture.
    """

    def __init__(self, root: Path, modules: Sequence[str]) -> None:
        self._modules = {str(root / module): module for module in modules}
        self._lines = {path: function_lines(ast.parse(Path(path).read_bytes())) for path in self._modules}
        self._current = ""
        self.seconds: dict[str, float] = {}
        self.tests: dict[str, set[str]] = {}

    def start(self) -> None:
        sys.settrace(self._trace)
        threading.settrace(self._trace)

    def _trace(self, frame: FrameType, event: str, arg: object) -> None:
        lines = self._lines.get(frame.f_code.co_filename)
        if lines and self._current and (position := bisect_right(lines, frame.f_code.co_firstlineno)):
            key = f"{self._modules[frame.f_code.co_filename]}:{lines[position - 1]}"
            self.tests.setdefault(key, set()).add(self._current)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        self._current = item.nodeid.partition("::")[0]
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._current, started = item.nodeid, time.monotonic()
        sys.settrace(self._trace)  # a test may have taken it away
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="the Python that tests start")
    parser.add_argument("--children", help="that which they start where its imports may be done already")
    parser.add_argument("--module", action="append")
    parser.add_argument("--mutant", type=int)
    parser.add_argument("--reached", type=Path)
    parser.add_argument("tests", nargs="+")
    options = parser.parse_args()
    sys.executable = options.python
    forked_python.forked_python = lambda *_: nullcontext(options.children)  # type: ignore[assignment]
    # Without rewritten assertions: libraries that ship plugins are imported already.
    without = [word for plugin in ("cacheprovider", "anyio", "xdist") for word in ("-p", f"no:{plugin}")]
    arguments = ["-x", "-q", "--tb=line", "--assert=plain", *without, f"--rootdir={options.root}", *options.tests]
    if options.reached is None:
        install(options.root, options.module[0], options.mutant)
        return KILLED if pytest.main(arguments) else 0
    reach = Reach(options.root, options.module)
    reach.start()
    code = pytest.main(arguments, plugins=[reach])
    sys.settrace(None)
    tests = {key: sorted(names) for key, names in reach.tests.items()}
    options.reached.write_text(json.dumps({"seconds": reach.seconds, "tests": tests}), "utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
