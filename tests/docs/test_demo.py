"""The demonstration of the four zoos holds what it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.paths import REPOSITORY


@pytest.mark.exhaustive
def test_the_four_zoos_night_after_night() -> None:
    script = REPOSITORY / "benchmarks/zoos.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    nights = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert nights == ["first night", "nothing changed", "one changed", "one deleted", "one gated"]
