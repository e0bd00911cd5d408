"""A new user follows the tutorial to the letter: from `plugin new` to the kernels of an invented zoo on loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from packages_for_tests import Place
from zoo_files import layers, models

PAGE = Path(__file__).parents[1] / "docs/tutorial.md"
# Programs as the user's shell finds them. Nothing comes from the network: what is installed is what the tests have.
PROGRAMS = {
    "filtercrawl": 'exec "{python}" -m filtercrawl "$@"',
    "pytest": 'exec "{python}" -m pytest -p no:cacheprovider "$@"',
    "python": 'exec "{python}" "$@"',
    "pip": 'exec "{python}" -m pip install --quiet --no-deps --no-build-isolation --no-cache-dir --upgrade '
    '--disable-pip-version-check --target "{site}" .',
}
BLOCK = re.compile(r'```(sh|python)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)


def script(page: str) -> str:
    """Return the page as one script: its commands in order, its files written where it shows them."""
    # Jobs are controlled, as in a terminal, and none outlives the script.
    lines = ["set -eum", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for kind, title, text in BLOCK.findall(page):
        if title:
            lines.append(f"cat > {title} <<'END_OF_FILE'\n{text}END_OF_FILE")
        elif kind == "python":
            lines.append(f"python - <<'END_OF_FILE'\n{text}END_OF_FILE")
        else:
            lines.append(text)
    return "\n".join(lines)


@pytest.mark.slow
def test_a_new_user_gets_kernels_by_the_tutorial_alone(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    place = Place(site=tmp_path / "site", cache=tmp_path / "cache")
    programs, home = tmp_path / "bin", tmp_path / "home"
    for folder in (programs, home):
        folder.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text.format(python=sys.executable, site=place.site)}\n", "utf-8")
        (programs / name).chmod(0o755)
    environment = place.environment | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script(PAGE.read_text("utf-8"))],
        cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    package = home / "filtercrawl-acme"
    assert len((package / "filtercrawl_acme/__init__.py").read_text("utf-8").splitlines()) < 30
    assert "wrong " not in done.stdout
    for dataset in ("filtercrawl-dataset", "kernels"):
        kept = models(package / dataset)
        assert {name: row["outcome"] for name, row in kept.items()} == {f"acme/net-{n}": "emitted" for n in range(3)}
        assert len(layers(package / dataset)) == 6
    assert "\nkernels: sound\n" in done.stdout
    assert re.search(r"^acme/net-\d#\w+\.weight \[4, ", done.stdout, re.MULTILINE)


def test_the_page_has_what_the_test_follows() -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert [title for _, title, _ in blocks if title] == [
        "filtercrawl_acme/__init__.py",
        "filtercrawl_acme/conformance.py",
    ]
    assert sum(kind == "sh" for kind, *_ in blocks) == 4
