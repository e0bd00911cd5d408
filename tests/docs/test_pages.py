"""What the pages say is so: snippets run, words and links are the real ones."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from conftest import Sync
from filtercrawl import api, testing
from filtercrawl.api import AnalysisOptions, Checkpoint, CheckpointMetadata, TrainingRun
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.api.vocabulary import REASONS
from filtercrawl.dataset.schema.arrow import INDEX, SKETCHES
from filtercrawl.extraction.rules import RULES
from filtercrawl.testing import CHECKS
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_plugins.sources.local.metadata_values import KNOWN_COLUMNS
from support.memory_view import Layer, MemoryView
from support.paths import REPOSITORY
from support.planted_forms import plant_gabors
from support.plugins import checkpoint, declared, source
from support.zoo_files import put, state

PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "examples").rglob("*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["README.md", "docs/dataset.md"])
def test_snippets_run(page: str, zoo: Path, run_sync: Sync, tmp_path: Path) -> None:
    put(zoo / "net.safetensors", state())
    run_sync(dataset=tmp_path / "filtercrawl-dataset")  # the tests work in tmp_path
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / page).read_text("utf-8"), re.DOTALL)
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert blocks
    if "kernels" in names:
        assert names["kernels"].shape == (12, 3, 3)  # type: ignore[attr-defined]
    else:
        assert names["weight"].shape in {(4, 3, 3, 3), (4, 1, 5, 5)}  # type: ignore[attr-defined]


def test_words_of_the_ledger_and_columns() -> None:
    page = (REPOSITORY / "docs/dataset.md").read_text("utf-8")
    reasons, _, rules = page.partition("## Words of the ledger")[2].partition("## Rules")
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", reasons, re.MULTILINE)) == REASONS
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", rules, re.MULTILINE)) == RULES
    index, _, sketches = page.partition("## Words of the ledger")[0].partition("## Sketches")
    columns = names_in(index.partition("column of")[2])
    assert len(columns) == 9
    assert columns <= set(INDEX.names)
    assert names_in(sketches) == set(SKETCHES.names) - {"layer_sha256", "kernel", "taps"}


def names_in(table: str) -> set[str]:
    """The words of the first column of a table."""
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}


def test_tables_of_analyses_and_their_columns(
    monkeypatch: pytest.MonkeyPatch, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    page = (REPOSITORY / "docs/analyses.md").read_text("utf-8")
    tables, _, columns = page.partition("## Tables")[2].partition("## Columns")
    told = {name: words(cell) for name, cell in re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", tables, re.MULTILINE)}
    told |= {"degenerate_layers": told["layer_quality"]}
    offers = list(networks(zoo))
    plugins = load_plugins([*declared(), source(monkeypatch, "acme", lambda: iter(offers))])
    run_sync("acme", plugins=plugins)
    view = FolderDatasetView(dataset, AnalysisOptions(by=("task",), resamples=20))
    results = [analysis.run(view) for analysis in plugins.analyses]
    results += [
        analysis.run(kernels_of_known_form())
        for analysis in plugins.analyses
        if analysis.name in ("form", "first-layers")
    ]
    deep = ViewWithDepth(dataset)
    results += [analysis.run(deep) for analysis in plugins.analyses if analysis.name == "family"]
    found = {table.name: table.rows.column_names for result in results for table in result.tables}
    patterns = {name: re.compile(name.replace("COLUMN", "(task|position)")) for name in told}
    for name, is_called in patterns.items():
        if not any(is_called.fullmatch(table) for table in found):
            pytest.fail(f"no analysis writes {name}")
    for table, names in found.items():
        (name,) = (name for name, is_called in patterns.items() if is_called.fullmatch(table))
        assert told[name] == names, name
    meant = [word for cell in re.findall(r"^\| (`.*?) \|", columns, re.MULTILINE) for word in words(cell)]
    assert len(meant) == len(set(meant))
    used = {n if n in meant else re.sub("_(q1|median|q3)$", "", n) for names in found.values() for n in names}
    assert set(meant) == used - set(INDEX.names)


class ViewWithDepth(FolderDatasetView):
    """A dataset whose layers lie at known depths, as those of networks of known structure do."""

    @cached_property
    def index(self) -> pa.Table:
        rows = super().index
        deciles = pa.array([layer % 10 for layer in range(len(rows))], pa.int8())
        return rows.set_column(rows.column_names.index("depth_decile"), "depth_decile", deciles)


def words(cell: str) -> list[str]:
    """The columns that a cell names, `X_*` for three."""
    found = []
    for word in re.findall(r"`([\w*]+)`", cell):
        found += [word.replace("*", end) for end in ("q1", "median", "q3")] if word.endswith("_*") else [word]
    return found


def kernels_of_known_form() -> MemoryView:
    """A first layer and depthwise ones with more and more peaks, which the networks below do not have."""
    random = np.random.default_rng(0)
    stem = plant_gabors(8, 7, 0.1, random).kernels[:, None].astype(np.float32)
    depthwise = plant_gabors(8, 5, 0.1, random).kernels[:, None].astype(np.float32)
    peak = np.outer([0, 1, 2, 1, 0], [0, 1, 2, 1, 0]).astype(np.float32)[None, None]
    shared = {"op": "conv2d", "out_channels": 8, "architecture": None, "stride": [1, 1], "is_patchify": False}
    return MemoryView(
        [
            Layer(
                model_id="m",
                weight=stem,
                facts={**shared, "is_first": True, "depthwise": False, "in_channels": 1, "groups": 1},
            ),
            *(
                Layer(
                    model_id="m",
                    weight=np.concatenate([depthwise[: 8 - depth], np.tile(peak, (depth, 1, 1, 1))]),
                    facts={**shared, "depthwise": True, "in_channels": 8, "groups": 8, "conv_depth": depth},
                )
                for depth in range(1, 5)
            ),
        ]
    )


def networks(zoo: Path) -> Iterator[Checkpoint]:
    """Eight networks of two architectures and two tasks, and an earlier step of one of them."""
    for seed in range(9):
        generator = torch.Generator().manual_seed(seed)
        weights = {f"{i}.weight": torch.randn(16, 16, 3, 3, generator=generator) for i in range(2)}
        norm = {f"2.{name}": torch.ones(16) for name in ("weight", "bias", "running_mean", "running_var")}
        url = put(zoo / f"{seed}.safetensors", weights | norm).as_uri()
        meta = CheckpointMetadata(
            task=f"task {seed % 2}",
            architecture=f"net {seed // 4}",
            family="nets",
            released="2024-05-01",
            metrics={"accuracy": 0.7 + seed / 100},
        )
        run = TrainingRun(id="run", step=10 - seed, final=seed == 0) if seed in (0, 8) else None
        yield replace(checkpoint(f"net-{seed}", url), meta=meta, run=run)


def test_the_readme_names_both_commands() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    first, second = re.findall(r"^python3 -m venv .*$", text, re.MULTILINE)
    assert first.endswith("filtercrawl sync packages")
    assert second.endswith("pytest -n auto tests")


@pytest.mark.parametrize("name", ["schema", "architecture"])
def test_a_reference_is_what_the_code_says(name: str) -> None:
    page = runpy.run_path(str(REPOSITORY / f"docs/{name}.py"))["page"]()
    assert (REPOSITORY / f"docs/{name}.md").read_text("utf-8") == page, f"run `python docs/{name}.py`"


def test_the_architecture_picture_shows_the_import_contracts() -> None:
    drawn = runpy.run_path(str(REPOSITORY / "docs/architecture.py"))
    picture = drawn["picture"](drawn["packages"]())
    assert (REPOSITORY / "docs/architecture.svg").read_text("utf-8") == picture, "run `python docs/architecture.py`"


def test_the_reference_has_every_public_name() -> None:
    page = (REPOSITORY / "docs/api.md").read_text("utf-8")
    assert sorted(re.findall(r"^::: filtercrawl\.api\.(\w+)$", page, re.MULTILINE)) == sorted(api.__all__)
    tools = sorted(re.findall(r"^::: filtercrawl\.testing\.(\w+)$", page, re.MULTILINE))
    assert tools == sorted(name for name in testing.__all__ if name != "CHECKS")
    assert f"FILTERCRAWL_API = {api.API_VERSION}" in page


def test_the_page_on_plugins_has_every_check() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", (REPOSITORY / "docs/plugins.md").read_text("utf-8"), re.MULTILINE)
    promises = {name: text.removesuffix(" (*)") for name, text in rows}
    assert {one.name: one.promise for one in CHECKS}.items() <= promises.items()
    starred = {name for name, text in rows if text.endswith(" (*)")}
    assert starred == {one.name for one in CHECKS if one.changing}


def test_the_site_can_be_built(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/tutorial/index.html").is_file()
    reference = (tmp_path / "site/api/index.html").read_text("utf-8")
    assert all(f'id="filtercrawl.api.{name}"' in reference for name in api.__all__)


def test_what_a_night_sends_is_what_was_measured() -> None:
    report = (REPOSITORY / "benchmarks/wire.md").read_text("utf-8")
    (more, more_xet), (fewer, fewer_xet) = re.findall(
        r"^\| all \| \*\*([\d.]+)\*\*.*?\| \*\*([\d.]+)\*\*", report, re.MULTILINE
    )
    text = " ".join((REPOSITORY / "docs/publishing.md").read_text("utf-8").split())
    assert f"send {more_xet} times their layers with Xet and {more} times with LFS" in text
    assert f"send {100 * float(fewer_xet):.2f} and {100 * float(fewer):.2f} % of all" in text
    assert float(more) <= 1.02


def test_the_page_on_sources_names_every_column_of_metadata_files() -> None:
    section = (
        (REPOSITORY / "docs/sources.md").read_text("utf-8").split("## Metadata for local files")[1].split("\n## ")[0]
    )
    assert sorted(name for name in KNOWN_COLUMNS if f"`{name}`" not in section) == []
