"""A new user follows the tutorial to the letter: from `plugin new` to the kernels of an invented zoo on loopback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.clean_machine import new_machine
from support.paths import REPOSITORY
from support.zoo_files import layers, models

PAGE = REPOSITORY / "docs/tutorial.md"
BLOCK = re.compile(r'```(sh|python)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)


def script(page: str) -> str:
    """Return the page as one script: its commands in order, its files written where it shows them."""
    lines = []
    for kind, title, text in BLOCK.findall(page):
        if title:
            lines.append(f"cat > {title} <<'END_OF_FILE'\n{text}END_OF_FILE")
        elif kind == "python":
            lines.append(f"python - <<'END_OF_FILE'\n{text}END_OF_FILE")
        else:
            lines.append(text)
    return "\n".join(lines)


@pytest.mark.exhaustive
def test_a_new_user_gets_kernels_by_the_tutorial_alone(tmp_path: Path) -> None:
    pytest.importorskip("editables")
    machine = new_machine(tmp_path)
    said = machine.type(script(PAGE.read_text("utf-8")))
    package = machine.home / "filtercrawl-acme"
    assert len((package / "filtercrawl_acme/__init__.py").read_text("utf-8").splitlines()) < 30
    assert "wrong " not in said
    kept = models(package / "filtercrawl-dataset")
    assert {name: row["outcome"] for name, row in kept.items()} == {f"acme/net-{n}": "emitted" for n in range(3)}
    assert len(layers(package / "filtercrawl-dataset")) == 6
    assert said.count("acme: 3 emitted") == 1
    assert "\nfiltercrawl-dataset: sound\n" in said
    assert re.search(r"^acme/net-\d#\w+\.weight \[4, ", said, re.MULTILINE)

    where = machine.type("source .venv/bin/activate && python -c 'import filtercrawl; print(filtercrawl.__file__)'")
    assert Path(where).is_relative_to(machine.home / ".venv")

    # What is published is the package alone, and not what trying it out has left behind.
    published = machine.type("cd filtercrawl-acme && git init --quiet && git add . && git ls-files").split()
    assert sorted(published) == [
        ".github/workflows/test.yml", ".gitignore", "README.md", "conftest.py", "filtercrawl_acme/__init__.py",
        "filtercrawl_acme/conformance.py", "pyproject.toml", "tests/test_plugin.py",
    ]  # fmt: skip
    build = (
        "source .venv/bin/activate && cd filtercrawl-acme && python -m hatchling build -t sdist && tar tzf dist/*.gz"
    )
    archive = {name.partition("/")[2] for name in machine.type(build).split()}
    assert archive == {*published, "PKG-INFO"}


def test_the_page_has_what_the_test_follows() -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert [title for _, title, _ in blocks if title] == [
        "filtercrawl_acme/__init__.py",
        "filtercrawl_acme/conformance.py",
    ]
    assert sum(kind == "sh" for kind, *_ in blocks) == 6
