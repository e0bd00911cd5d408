"""Install packages as a user would, into a folder of their own, and run things with them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Place:
    """An environment: what is installed in `site` comes before all that the tests have."""

    site: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.site), *filter(None, sys.path)])
        return {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}

    def install(self, package: Path) -> None:
        """Build a package's wheel and install it; from the network nothing is needed."""
        self.run(
            package, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir",
            "--disable-pip-version-check", "--target", str(self.site), str(package),
        )  # fmt: skip

    def run(self, folder: Path, *words: str) -> str:
        """Run Python with these words in a folder; returns what it said on stdout."""
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout
