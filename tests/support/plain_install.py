"""A Python that has what `pip install filtercrawl` brings and nothing else: no extra, no package of the tests.

What a distribution needs is what its metadata say, so that a package that is used and not declared is missing here too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.paths import REPOSITORY

_SOURCES = ("crawler", "plugins", "analysis", "publish")


@dataclass(frozen=True)
class PlainInstall:
    """packages: a folder with links to the distributions, for `sys.path`."""

    packages: Path

    def run(self, *words: object, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments in a folder; `-m filtercrawl` is the command line."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("HF_", "XDG_", "LANG")) or name in ("FILTERCRAWL_ENGINE", "PATH", "HOME")
        }
        path = os.pathsep.join(map(str, (self.packages, *(REPOSITORY / name for name in _SOURCES))))
        # -S: not what this machine has in its site-packages.
        command = [sys._base_executable, "-S", *map(str, words)]  # type: ignore[attr-defined]
        return subprocess.run(
            command, cwd=folder, env=kept | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )


def plain_install(packages: Path) -> PlainInstall:
    """Link what the project needs into a folder; what this environment lacks of it is left out."""
    packages.mkdir()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    for found in needed(map(Requirement, project["dependencies"])):
        link(found, packages)
    # Of filtercrawl itself the metadata, which have its plugins; its modules are those of the working tree.
    metadata = Path(str(distribution("filtercrawl").locate_file("")))
    for entry in metadata.glob("filtercrawl-*.dist-info"):
        (packages / entry.name).symlink_to(entry)
    return PlainInstall(packages)


def needed(requirements: Iterable[Requirement]) -> Iterator[Distribution]:
    """Yield the distributions that requirements ask for, and those that these ask for, each once."""
    seen: set[tuple[str, frozenset[str]]] = set()
    yielded: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in yielded:
            yielded.add(name)
            yield found
        for line in found.requires or ():
            asked = Requirement(line)
            if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append(asked)


def link(found: Distribution, packages: Path) -> None:
    """Link the files and folders of a distribution; of a folder that several share, such as `nvidia`, the whole."""
    for name in sorted({file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}):
        if not (packages / name).exists():
            (packages / name).symlink_to(Path(str(found.locate_file(name))))
