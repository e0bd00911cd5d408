"""The lock files and the SBOM: complete, hashed, and of what pyproject.toml asks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.paths import REPOSITORY

FOLDER = REPOSITORY / "requirements"
LOCKS = sorted(FOLDER.glob("*.txt"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def locked(path: Path) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock file with its hashes."""
    lines = re.sub(r"(?m)^#.*\n", "", path.read_text("utf-8")).replace("\\\n", " ").splitlines()
    parts = [line.split(" --hash=") for line in lines]
    return [(Requirement(first.strip()), [hash_.strip() for hash_ in hashes]) for first, *hashes in parts]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_package_has_one_version_and_hashes(path: Path) -> None:
    requirements = locked(path)
    assert len(requirements) > 10
    for requirement, hashes in requirements:
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", hash_) for hash_ in hashes), requirement
    assert "://" not in path.read_text("utf-8")  # where files come from is for whoever installs to say


def test_the_lock_of_development_has_what_the_project_asks_for() -> None:
    project = PROJECT["project"]
    asked = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    asked += [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    asked = [requirement for requirement in asked if not requirement.startswith("filtercrawl[")]
    versions: dict[str, list[str]] = {}
    for requirement, _ in locked(FOLDER / "development.txt"):
        versions.setdefault(canonicalize_name(requirement.name), []).append(str(requirement.specifier)[2:])
    for requirement in map(Requirement, asked):
        found = versions.get(canonicalize_name(requirement.name), [])
        assert found, f"{requirement} is in no lock file; run requirements/compile.sh"
        assert all(requirement.specifier.contains(version) for version in found), requirement


def test_what_users_get_was_tested() -> None:
    tested = {(str(r.name), str(r.specifier)) for r, _ in locked(FOLDER / "development.txt")}
    assert {(str(r.name), str(r.specifier)) for r, _ in locked(FOLDER / "runtime.txt")} <= tested


def test_the_sbom_names_the_packages_that_the_project_needs() -> None:
    sbom = json.loads((FOLDER / "sbom.cdx.json").read_text("utf-8"))
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "filtercrawl"
    named = sorted((item["name"], item["version"]) for item in sbom["components"])
    assert named == sorted((r.name, str(r.specifier)[2:]) for r, _ in locked(FOLDER / "runtime.txt"))


def test_the_page_about_installing_has_every_extra() -> None:
    page = (REPOSITORY / "docs/install.md").read_text("utf-8")
    cells = re.findall(r"^\| (`.*?`) \|", page.partition("## Size")[0], re.MULTILINE)
    named = [name for cell in cells for name in re.findall("`([\\w-]+)`", cell)]
    assert sorted(named) == sorted(PROJECT["project"]["optional-dependencies"])


def test_the_sbom_is_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".dist-info/sboms/" in name)
        assert archive.read(name) == (FOLDER / "sbom.cdx.json").read_bytes()
