"""A zoo whose host cannot be reached: what fails is said at once, and the run ends soon with one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path


def test_a_name_that_cannot_be_resolved(tmp_path: Path) -> None:
    endpoint = "http://nowhere.invalid"
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-m", "filtercrawl", "sync", "hub:org/*", "--dataset", str(tmp_path / "dataset")]
    started = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert time.monotonic() - started < 60
    assert done.returncode == 3
    (line,) = done.stdout.splitlines()
    assert line.startswith("source hub:org/* did not finish its listing: ")
    assert re.search(rf"^warning: {endpoint} cannot be reached \(.+\); trying again$", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
