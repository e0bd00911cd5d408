"""What the pages say is so: snippets run, words and links are the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Sync
from filtercrawl.schema import INDEX, SKETCHES
from filtercrawl.vocabulary import REASONS
from zoo_files import put, state

TOP = Path(__file__).parents[1]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "docs/dataset.md"])
def test_snippets_run(page: str, zoo: Path, run_sync: Sync, tmp_path: Path) -> None:
    put(zoo / "net.safetensors", state())
    run_sync(dataset=tmp_path / "filtercrawl-dataset")  # the tests work in tmp_path
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (TOP / page).read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert blocks
    if "kernels" in names:
        assert names["kernels"].shape == (12, 3, 3)  # type: ignore[attr-defined]
    else:
        assert names["weight"].shape in {(4, 3, 3, 3), (4, 1, 5, 5)}  # type: ignore[attr-defined]


def test_words_of_the_ledger_and_columns() -> None:
    page = (TOP / "docs/dataset.md").read_text("utf-8")
    table = page.partition("## Words of the ledger")[2]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)) == REASONS
    index, _, sketches = page.partition("## Words of the ledger")[0].partition("## Sketches")
    columns = names_in(index.partition("column of")[2])
    assert len(columns) == 9
    assert columns <= set(INDEX.names)
    assert names_in(sketches) == set(SKETCHES.names) - {"layer_sha256", "kernel", "taps"}


def names_in(table: str) -> set[str]:
    """The words of the first column of a table."""
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def test_the_readme_names_both_commands() -> None:
    text = (TOP / "README.md").read_text("utf-8")
    first, second = re.findall(r"^python3 -m venv .*$", text, re.MULTILINE)
    assert first.endswith("filtercrawl sync packages")
    assert second.endswith("pytest -n auto")
