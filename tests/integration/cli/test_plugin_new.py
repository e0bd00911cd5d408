"""`plugin new`: what it writes installs, passes its own tests, and is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.cli.scaffold import KINDS, Kind, write
from support.clean_machine import Machine, new_machine
from support.paths import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("filtercrawl-*"))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine with filtercrawl in an environment of its own."""
    pytest.importorskip("hatchling")
    made = new_machine(tmp_path_factory.mktemp("machine"))
    made.type("python3 -m venv .venv && source .venv/bin/activate && pip install --quiet filtercrawl")
    return made


def own_tests(machine: Machine, package: Path) -> str:
    """Install a package's wheel as a user would, and run its own tests against what was installed."""
    away = machine.home / f"away-{package.name}"
    away.mkdir()
    for name in ("tests", "conftest.py", "pyproject.toml"):
        (shutil.copytree if (package / name).is_dir() else shutil.copy)(package / name, away / name)
    return machine.type(
        f"source .venv/bin/activate; pip install --quiet '{package}[test]'; cd {away}; pytest -q -p no:cacheprovider"
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_installs_and_passes_its_own_tests(machine: Machine, kind: Kind) -> None:
    package = write(f"some-{kind}", kind, machine.home)
    assert "passed" in own_tests(machine, package)
    found = json.loads(machine.type("source .venv/bin/activate; filtercrawl sources -v --json"))
    assert found["broken"] == []
    mine = [row for row in found["sources"] if row["name"] == f"some-{kind}"]
    assert len(mine) == (kind == "source")
    for row in mine:
        assert (row["distribution"], row["module"]) == ("filtercrawl-some-source", "filtercrawl_some_source")


@pytest.mark.exhaustive
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_installs_and_passes_its_own_tests(machine: Machine, example: Path) -> None:
    package = shutil.copytree(example, machine.home / example.name)
    assert "passed" in own_tests(machine, package)


def test_there_is_an_example_of_a_source_and_of_an_analysis() -> None:
    texts = [next(path.glob("filtercrawl_*/__init__.py")).read_text("utf-8") for path in EXAMPLES]
    assert sum("def filtercrawl_sources" in text for text in texts) == 1
    assert sum("def filtercrawl_analyses" in text for text in texts) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_complete_and_has_no_mark_left(tmp_path: Path, kind: Kind) -> None:
    package = write("a1-b2", kind, tmp_path)
    paths = {path.relative_to(package).as_posix(): path for path in package.rglob("*") if path.is_file()}
    assert paths.keys() >= {
        "pyproject.toml", "README.md", ".gitignore", ".github/workflows/test.yml", "conftest.py",
        "tests/test_plugin.py", "filtercrawl_a1_b2/__init__.py",
    }  # fmt: skip
    for name, path in paths.items():
        text = path.read_text("utf-8")
        assert "{{" not in text, name
        if path.suffix == ".py":
            compile(text, name, "exec")
            ruff = [sys.executable, "-m", "ruff"]
            options = ["--isolated", "--line-length", "120", str(path)]
            subprocess.run([*ruff, "check", "--select", "E,F,I,W", *options], check=True)
            subprocess.run([*ruff, "format", "--check", *options], check=True)
    if kind == "source":
        assert len(paths["filtercrawl_a1_b2/__init__.py"].read_text("utf-8").splitlines()) < 30


@pytest.mark.parametrize(
    "name", ["", "Acme", "acme_lab", "-a", "a-", "a--b", "1a", "a/b", "../a", "a.b", "é", "a" * 41]
)
def test_a_name_that_no_plugin_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="lower-case letters"):
        write(name, "source", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    write("acme", "source", tmp_path)
    with pytest.raises(PolicyError, match="exists already"):
        write("acme", "reader", tmp_path)


def test_the_command_says_what_to_do_next_and_refuses_names_that_are_taken(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "filtercrawl", "plugin", "new", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "cd filtercrawl-acme\n" in run("acme").stdout
    assert (tmp_path / "filtercrawl-acme/filtercrawl_acme/conformance.py").is_file()
    assert run("acme").returncode == 4
    taken = run("timm")
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1)
    assert "an installed source has the name 'timm'" in taken.stderr


@pytest.mark.exhaustive
def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=REPOSITORY, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = {
        path for path in (REPOSITORY / "crawler/filtercrawl/cli/scaffold/templates").rglob("*") if path.is_file()
    }
    assert len(templates) > 10
    assert names >= {path.relative_to(REPOSITORY / "crawler").as_posix() for path in templates}
    assert "filtercrawl/testing/pytest_fixtures.py" in names
