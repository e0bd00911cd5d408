"""A machine of somebody who has Python and the package index, and nothing of filtercrawl: what is typed there is run.

The index is a folder with the wheel of filtercrawl. What it depends on is there already: it takes minutes to install.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.paths import REPOSITORY

# What a new environment has of its own, and what must come from the wheel.
_OWN = ("pip", "filtercrawl", "_virtualenv", "__pycache__")
# The machine's own Python; and a command that a dependency brings, in whatever environment is active.
_PROGRAMS = {"python3": f'exec {sys._base_executable} "$@"', "pytest": 'exec python -m pytest "$@"'}  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """home: where commands are typed. programs, dependencies, index: folders."""

    home: Path
    programs: Path
    dependencies: Path
    index: Path

    def type(self, script: str, seconds: float = 280) -> str:
        """Run commands in bash, with job control as in a terminal, to the first that fails; returns their stdout."""
        # No job outlives the script.
        before = "set -eum; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{before}\n{script}"],
            cwd=self.home, env=self._environment(), capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("LANG", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if name in os.environ
        }
        pip = {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(self.index), "NO_BUILD_ISOLATION": "0"}
        return {
            **kept,
            **{f"PIP_{name}": value for name, value in pip.items()},
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "HOME": str(self.home),
            "PATH": f"{self.programs}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(self.dependencies),
        }


def new_machine(folder: Path) -> Machine:
    """Build filtercrawl's wheel, and lay out what it depends on, by links to what the tests have."""
    machine = Machine(**{name: folder / name for name in ("home", "programs", "dependencies", "index")})
    for made in (machine.home, machine.programs, machine.dependencies):
        made.mkdir(parents=True)
    for name, text in _PROGRAMS.items():
        (machine.programs / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        (machine.programs / name).chmod(0o755)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(machine.index)],
        cwd=REPOSITORY,
        check=True,
    )
    for site in (Path(place) for place in sys.path if place.endswith("-packages")):
        for entry in site.iterdir():
            link = machine.dependencies / entry.name
            if not link.exists() and not entry.name.startswith(_OWN) and entry.suffix != ".pth":
                link.symlink_to(entry)
    return machine
