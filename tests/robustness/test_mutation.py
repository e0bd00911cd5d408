"""Mutation testing: changes that a test should notice, and which of them it does."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from support.forked_python import forked_python
from support.mutation.__main__ import explanations
from support.mutation.operators import mutants
from support.mutation.runner import Runner, trials_of
from support.mutation.targets import TARGETS, Target

CODE = '''
LIMIT: int | None = 3


def may(names: list[str], size: int) -> bool:
    """Tell."""
    if not names and size <= LIMIT:
        raise ValueError(f"{size} is too small")
    return "x" in sorted(names, key=len)
'''


def test_what_is_changed() -> None:
    found = [(mutant.line, mutant.name, mutant.function) for mutant in mutants(ast.parse(CODE))]
    assert found == [
        (2, "module: 3 -> 4", None),
        (7, "may: not names and size <= LIMIT -> True", 5),
        (7, "may: not names and size <= LIMIT -> False", 5),
        (7, "may: not names and size <= LIMIT -> size <= LIMIT", 5),
        (7, "may: not names and size <= LIMIT -> not names", 5),
        (7, "may: not names -> names", 5),
        (7, "may: size <= LIMIT -> size < LIMIT", 5),
        (8, "may: raise ValueError(f'{size} is too small') -> nothing", 5),
        (9, "may: return 'x' in sorted(names, key=len) -> return None", 5),
        (9, "may: 'x' in sorted(names, key=len) -> 'x' not in sorted(names, key=len)", 5),
        (9, "may: 'x' -> 'other x'", 5),
        (9, "may: sorted(names, key=len) -> list(names)", 5),
        (9, "may: key=len -> nothing", 5),
    ]


def test_each_change_compiles_and_is_one() -> None:
    before = ast.unparse(ast.parse(CODE))
    for index in range(13):
        tree = ast.parse(CODE)
        mutants(tree)[index].apply()
        compile(tree, "changed", "exec")
        assert ast.unparse(tree) != before


def test_survivors_that_are_explained_are_changes_that_there_are() -> None:
    assert explanations().keys() <= {trial.name for target in TARGETS.values() for trial in trials_of(target)}


@pytest.mark.skipif(sys.platform != "linux", reason="forks as Linux does")
def test_a_test_notices_or_not(tmp_path: Path) -> None:
    module = "crawler/filtercrawl/transport/range_planning.py"
    target = Target(modules=(module,), tests=("tests/unit/transport/test_range_planning.py",))
    names = {
        f"{module} total_bytes: stop - start -> start": "killed",
        f"{module} subtract: removed[i][0] < stop -> removed[i][0] <= stop": "survived",
    }
    trials = [trial for trial in trials_of(target) if trial.name in names]
    with forked_python("pytest") as python:
        found = {trial.name: outcome for trial, outcome in Runner(python, python, target, tmp_path).run(trials, jobs=1)}
    assert found == names
