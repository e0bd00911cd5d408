"""The command `analyze`: what it writes, and that neither names nor plugins from strangers can spoil it."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner, Result

from conftest import Sync
from filtercrawl import api
from filtercrawl.api import DatasetView, Figure, ResultTable, SampleSize
from filtercrawl.api.errors import ConflictError, DatasetError, FiltercrawlError, UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl.dataset.files.lock import locked
from filtercrawl_publish.verification import verify_folder
from support.paths import REPOSITORY
from support.plugins import declared, entry
from support.report_page import Page
from support.zoo_files import published, put, state

Run = Callable[[DatasetView], api.Result]
Call = Callable[..., Result]


class Analysis:
    """An analysis that does what it is told."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.title = f"About {name}"
        self._run = run

    def run(self, view: DatasetView) -> api.Result:
        return self._run(view)


def bars(canvas: Any) -> None:
    canvas.subplots().bar([0, 1], [3, 4])


def figure(name: str, table: str, draw: Callable[[Any], None] = bars) -> Figure:
    basis = SampleSize(kernels=1, layers=1, models=1)
    return Figure(name=name, title=f"Picture {name}", caption="As drawn.", basis=basis, table=table, draw=draw)


def sizes(view: DatasetView) -> api.Result:
    """A table and a figure of what the dataset holds."""
    rows = view.index.group_by("kernel").aggregate([("n_kernels", "sum")]).sort_by("kernel")
    table = ResultTable(name="sizes", title="Kernels by size", rows=rows, about="Of all layers.")
    first = ", ".join(rows["kernel"].to_pylist())
    return api.Result(tables=(table,), figures=(figure("sizes_bars", "sizes"),), findings=(f"There are {first}.",))


def stored(view: DatasetView) -> api.Result:
    rows = view.index.select(["layer_id", "model_id", "sparsity", "shape", "depthwise"])
    tables = (
        ResultTable(name="stored", title="Layers", rows=rows),
        ResultTable(name="nothing", title="None", rows=rows.slice(0, 0)),
    )
    return api.Result(tables=tables)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, dataset: Path) -> Call:
    """Run the command with these analyses and no others; words are its options."""

    def run(*words: object, **analyses: Run) -> Result:
        found = [Analysis(name.replace("_", "-"), run) for name, run in analyses.items()]
        ours = entry(monkeypatch, "zz", filtercrawl_analyses=lambda: iter(found))
        bundled = [point for point in declared() if not load_plugins([point]).analyses]
        arguments = ["analyze", "--dataset", dataset, *words]
        return CliRunner().invoke(build(load_plugins([*bundled, ours])), [str(word) for word in arguments])

    return run


@pytest.fixture
def net(zoo: Path, run_sync: Sync) -> Path:
    put(zoo / "net.safetensors", state())
    run_sync()
    return zoo


@pytest.mark.usefixtures("net")
def test_an_analysis_that_has_nothing_to_do_says_why(call: Call) -> None:
    result = call(idle=lambda _: api.Result(note="Nothing to analyze: no \x1b[31mred kernels."), sizes=sizes)
    assert result.exit_code == 0, result.output
    assert "About idle: Nothing to analyze: no \ufffd[31mred kernels." in result.stdout.splitlines()


@pytest.mark.usefixtures("net")
def test_it_writes_tables_figures_and_a_page_and_the_dataset_stays_sound(call: Call, dataset: Path) -> None:
    result = call(sizes=sizes, stored=stored)
    assert result.exit_code == 0, result.output
    assert "- There are 3x3, 5x5." in result.stdout
    assert str(dataset / "analysis/report.html") in result.stdout
    assert "[1/2] sizes: 1 table, 1 figure" in result.stderr
    assert {path for path in published(dataset) if path.startswith("analysis/")} == {
        "analysis/figures/sizes_bars.png",
        "analysis/figures/sizes_bars.svg",
        "analysis/report.html",
        "analysis/results.json",
        "analysis/tables/sizes.csv",
        "analysis/tables/sizes.parquet",
        "analysis/tables/stored.csv",
        "analysis/tables/stored.parquet",
    }
    assert pq.read_table(dataset / "analysis/tables/sizes.parquet").to_pylist() == [
        {"kernel": "3x3", "n_kernels_sum": 12},
        {"kernel": "5x5", "n_kernels_sum": 4},
    ]
    assert (dataset / "analysis/tables/sizes.csv").read_text() == "kernel,n_kernels_sum\n3x3,12\n5x5,4\n"
    assert list(verify_folder(dataset)) == []
    listed = pq.read_table(dataset / "data/files")["path"].to_pylist()
    assert "analysis/report.html" in listed


def test_a_dataset_without_layers_is_said_to_be_one(call: Call, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "linear.safetensors", {"head.weight": torch.ones(10, 4)})
    run_sync()
    result = call(sizes=lambda _: api.Result())
    assert result.exit_code == 0
    said = "Nothing to analyze: the dataset has no layers; `filtercrawl sync SELECTOR` crawls checkpoints."
    assert said in result.stderr.splitlines()
    assert said in Page.read(dataset / "analysis/report.html").text


@pytest.mark.usefixtures("net")
def test_a_file_of_an_analysis_that_was_changed_or_added_is_found(call: Call, dataset: Path) -> None:
    call(sizes=sizes)
    (dataset / "analysis/tables/sizes.csv").write_text("other")
    (dataset / "analysis/extra.txt").write_text("extra")
    found = {finding.where for finding in verify_folder(dataset)}
    assert found == {"analysis/tables/sizes.csv", "analysis/extra.txt"}
    call(sizes=sizes)
    assert list(verify_folder(dataset)) == []


@pytest.mark.usefixtures("net")
def test_json_is_one_object_on_stdout(call: Call, dataset: Path) -> None:
    found = json.loads(call("--json", "--by", "family", "--seed", "7", sizes=sizes, stored=stored).stdout)
    assert found | {"tables": 3, "figures": 1, "findings": ["There are 3x3, 5x5."], "left_out": {}} == found
    options = {
        "by": ["family"],
        "exact": False,
        "resamples": 10_000,
        "seed": 7,
        "view": "raw",
        "along": None,
        "join": None,
    }
    assert found["options"] == options
    assert found["basis"] == {"kernels": 16, "layers": 2, "models": 1}
    assert [analysis["name"] for analysis in found["analyses"]] == ["sizes", "stored"]
    assert all(analysis["seconds"] >= 0 for analysis in found["analyses"])
    assert found["seconds"] > 0
    assert all((dataset / path).is_file() for path in found["files"])


def test_the_same_input_gives_the_same_bytes(
    call: Call, dataset: Path, net: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    call(sizes=sizes)
    first = published(dataset)
    for path in first:
        if path.startswith("analysis/"):
            (dataset / path).unlink()
    call(sizes=sizes)
    assert published(dataset) == first
    # A night that finds the same changes nothing, the date of the page included.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    call(sizes=sizes)
    assert published(dataset) == first
    assert "analyzed on 2023-11-14" in Page.read(dataset / "analysis/report.html").text
    put(net / "another.safetensors", state(1))
    run_sync()
    call(sizes=sizes)
    assert published(dataset)["analysis/figures/sizes_bars.svg"] == first["analysis/figures/sizes_bars.svg"]
    assert "analyzed on 2027-01-15" in Page.read(dataset / "analysis/report.html").text


@pytest.mark.usefixtures("net")
def test_what_an_earlier_run_wrote_goes_and_nothing_else(call: Call, dataset: Path) -> None:
    call(sizes=sizes, stored=stored)
    (dataset / "analysis/notes.md").write_text("mine")
    call(stored=stored)
    assert {path for path in published(dataset) if path.startswith("analysis/")} == {
        "analysis/notes.md",
        "analysis/report.html",
        "analysis/results.json",
        "analysis/tables/stored.csv",
        "analysis/tables/stored.parquet",
    }
    assert list(verify_folder(dataset)) == []


def explode(_: object) -> Any:
    raise RuntimeError("no such\nluck")


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("run", "why"),
    [
        (explode, "RuntimeError: no such luck"),
        (lambda _: 42, "gives int, which is no Result"),
        (lambda _: api.Result(tables=(7,)), "gives int among"),  # type: ignore[arg-type]
        (lambda _: api.Result(figures=(figure("f", "gone"),)), "'gone', which is not there"),
        (lambda _: api.Result(tables=(ResultTable(name="../up", title="", rows=pa.table({})),)), "'../up'"),
        (sizes, "a second table is named 'sizes'"),
        (lambda _: api.Result(tables=(ResultTable(name="a", title="", rows=[]),)), "no pyarrow.Table"),  # type: ignore[arg-type]
        (
            lambda _: api.Result(
                tables=(ResultTable(name="a", title="", rows=pa.table([[1], [2]], names=["x", "x"])),)
            ),
            "two columns of one name",
        ),
    ],
)
def test_an_analysis_that_fails_is_named_and_the_others_go_on(call: Call, dataset: Path, run: Run, why: str) -> None:
    result = call(sizes=sizes, yours=run)
    assert result.exit_code == 3
    assert "left out: yours: " in result.stdout
    assert why in result.stdout
    assert why in Page.read(dataset / "analysis/report.html").text
    assert why in json.loads((dataset / "analysis/results.json").read_text())["left_out"]["yours"]
    assert (dataset / "analysis/tables/sizes.csv").is_file()
    assert list(verify_folder(dataset)) == []


@pytest.mark.usefixtures("net")
def test_a_figure_that_cannot_be_drawn_is_named_and_its_table_stays(call: Call, dataset: Path) -> None:
    def half(view: DatasetView) -> api.Result:
        found = sizes(view)
        return api.Result(tables=found.tables, figures=(figure("bad", "sizes", explode), *found.figures))

    result = call("--json", half=half)
    assert result.exit_code == 3
    assert json.loads(result.stdout)["left_out"] == {"half: figure bad": "RuntimeError: no such luck"}
    page = Page.read(dataset / "analysis/report.html")
    assert "table-sizes" in page.ids
    assert "figure-sizes_bars" in page.ids
    assert "figure-bad" not in page.ids
    assert not (dataset / "analysis/figures/bad.svg").exists()


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "famly"], "--by: no column is named 'famly'; the nearest is family; "),
        (["--only", "tides"], "--only: no analysis is named 'tides'; installed are sizes"),
        (["--also", "tides"], "--also: no analysis is named 'tides'; installed are sizes"),
        (["--device", "abacus"], "--device abacus"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(call: Call, dataset: Path, words: list[str], said: str) -> None:
    result = call(*words, sizes=sizes)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (dataset / "analysis").exists()


def test_there_is_no_test_without_resamples(call: Call) -> None:
    result = call("--resamples", 0, sizes=sizes)
    assert result.exit_code == 2
    assert "'--resamples'" in result.output


def test_without_a_dataset_and_beside_another_run(call: Call, dataset: Path, zoo: Path, run_sync: Sync) -> None:
    result = call(sizes=sizes)
    assert isinstance(result.exception, DatasetError)
    assert "no dataset here" in str(result.exception)
    put(zoo / "net.safetensors", state())
    run_sync()
    with locked(dataset):
        result = call(sizes=sizes)
    assert isinstance(result.exception, ConflictError)
    assert isinstance(result.exception, FiltercrawlError)
    assert result.exception.exit_code == 5


@pytest.mark.usefixtures("net")
def test_a_stopped_run_ends_cleanly_and_writes_nothing(call: Call, dataset: Path) -> None:
    def slow(view: DatasetView) -> api.Result:
        view.progress(1, 2, "kernels")
        signal.raise_signal(signal.SIGINT)
        view.progress(2, 2, "kernels")
        raise AssertionError("it went on")

    before = published(dataset)
    result = call(sizes=sizes, slow=slow)
    assert result.exit_code == 130
    assert "stopped; nothing was written" in result.stderr
    assert published(dataset) == before
    assert call(sizes=sizes).exit_code == 0


def test_a_run_that_is_killed_while_it_writes_is_mended_by_the_next(
    call: Call, dataset: Path, net: Path, run_sync: Sync
) -> None:
    def end(canvas: Any) -> None:
        raise KeyboardInterrupt

    def killed(view: DatasetView) -> api.Result:
        return api.Result(tables=sizes(view).tables, figures=(figure("last", "sizes", end),))

    call(killed=killed)
    assert {finding.where for finding in verify_folder(dataset)} == {
        "analysis/tables/sizes.csv",
        "analysis/tables/sizes.parquet",
    }
    run_sync()
    assert list(verify_folder(dataset)) == []
    assert call(sizes=sizes).exit_code == 0
    assert list(verify_folder(dataset)) == []


NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "[md](https://evil.example) **b** | x",
    "\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d",
    "bell\x07 esc\x1b[31m nul\x00",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "+1",
    "-1",
    "$\\frac{1}{",
    "{{ 7 * 7 }}{% raw %}",
    "--> <!-- ]]>",
)


def hostile(view: DatasetView) -> api.Result:
    rows = pa.table({"group": list(NAMES), "drift": [-0.5] * len(NAMES), "=1+1": [[name] for name in NAMES]})

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.barh(range(len(NAMES)), range(len(NAMES)))
        axes.set_yticks(range(len(NAMES)), NAMES)
        axes.set_title(NAMES[0])

    basis = SampleSize(kernels=1, layers=1, models=1)
    shown = Figure(name="bad", title=NAMES[0], caption=NAMES[1], basis=basis, table="bad", draw=draw)
    return api.Result(
        tables=(ResultTable(name="bad", title=NAMES[1], about=NAMES[0], rows=rows),), figures=(shown,), findings=NAMES
    )


@pytest.mark.usefixtures("net")
def test_names_from_strangers_are_text_and_nothing_else(call: Call, dataset: Path) -> None:
    result = call(hostile=hostile)
    assert result.exit_code == 0, result.output
    assert not set("\x1b\x07\x00\u202e") & set(result.stdout)
    page = Page.read(dataset / "analysis/report.html")
    assert page.problems == []
    assert page.tags.count("script") == 1  # the page's own
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert [picture["tag"] for picture in page.pictures if "data-figure" in picture] == ["source", "img"]
    assert not [link for link in page.links if "evil" in link]
    assert not set("\x1b\x07\x00\u202e") & set((dataset / "analysis/report.html").read_text())
    for name in NAMES[:3] + NAMES[4:5] + NAMES[6:]:
        assert " ".join(name.split()) in page.text
    rows = list(csv.reader(io.StringIO((dataset / "analysis/tables/bad.csv").read_text())))
    assert rows[0] == ["group", "drift", "'=1+1"]
    assert {row[1] for row in rows[1:]} == {"-0.5"}
    assert [row[0] for row in rows[7:11]] == ["'=HYPERLINK(1)", "'@SUM(1)", "'+1", "'-1"]
    assert pq.read_table(dataset / "analysis/tables/bad.parquet")["group"].to_pylist() == list(NAMES)


def pages(call: Call, dataset: Path) -> Iterator[Page]:
    for analyses in ({"hostile": hostile, "sizes": sizes, "stored": stored}, {"yours": explode}, {}):
        call(**analyses)
        yield Page.read(dataset / "analysis/report.html")


@pytest.mark.usefixtures("net")
def test_the_page_is_sound_and_needs_nothing_but_itself(call: Call, dataset: Path) -> None:
    for page in pages(call, dataset):
        assert page.problems == []
        assert len(page.ids) == len(set(page.ids))
        assert set(page.references) <= set(page.ids)
        for link in page.links:
            if link.startswith("#"):
                assert link[1:] in page.ids
            else:
                assert (dataset / "analysis" / link).is_file(), link
        for picture in page.pictures:
            assert picture.get("src", picture.get("srcset", "")).startswith("data:image/")
            assert picture["tag"] == "source" or picture["alt"].strip()
        outside = [
            value
            for tag, name, value in page.attributes
            if name in ("src", "srcset", "href", "action", "data", "poster")
            and not value.startswith(("data:image/", "#", "figures/", "tables/", "results.json"))
        ]
        assert outside == []
        assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
        levels = [level for level, _ in page.headings]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        assert {"header", "nav", "main", "footer"} <= set(page.tags)
        assert ("html", "lang", "en") in page.attributes
        assert page.links[0] == "#main"


@pytest.mark.usefixtures("net")
def test_figures_say_what_they_rest_on_and_link_to_their_tables(call: Call, dataset: Path) -> None:
    call(sizes=sizes)
    page = Page.read(dataset / "analysis/report.html")
    assert "As drawn. Sample: 1 kernel of 1 layer of 1 model." in page.text
    assert {"#table-sizes", "figures/sizes_bars.svg", "figures/sizes_bars.png"} <= set(page.links)
    assert {"tables/sizes.csv", "tables/sizes.parquet"} <= set(page.links)
    figures = [picture for picture in page.pictures if "data-figure" in picture]
    light, dark = (picture.get("src") or picture["srcset"] for picture in reversed(figures))
    assert light != dark


@pytest.mark.usefixtures("net")
def test_long_tables_are_cut_on_the_page_alone(call: Call, dataset: Path) -> None:
    def many(view: DatasetView) -> api.Result:
        return api.Result(tables=(ResultTable(name="many", title="M", rows=pa.table({"n": range(5000)})),))

    call(many=many, sizes=sizes)
    page = Page.read(dataset / "analysis/report.html")
    assert page.tags.count("tr") == 201 + 3
    assert "The first 200 of 5,000 rows; the Parquet file has all." in page.text
    assert pq.read_table(dataset / "analysis/tables/many.parquet").num_rows == 5000
    assert len((dataset / "analysis/tables/many.csv").read_text().splitlines()) == 5001


@pytest.mark.usefixtures("net")
def test_a_finding_links_to_its_rows_however_far_down_they_are(call: Call, dataset: Path) -> None:
    def cited(view: DatasetView) -> api.Result:
        rows = pa.table({"group": [f"g{i}" for i in range(500)], "n": range(500)})
        table = ResultTable(name="many", title="M", rows=rows)
        finding = api.Finding(text="g370 has 370, g372 372.", table="many", row=370, other_rows=(372,))
        return api.Result(tables=(table,), findings=(finding, "Nothing else."))

    result = call(cited=cited)
    assert result.exit_code == 0, result.output
    page = Page.read(dataset / "analysis/report.html")
    assert page.problems == []
    assert {"row-many-371", "row-many-373"} <= set(page.ids)
    assert page.links.count("#row-many-371") == 2  # among the findings at the top, and in its section
    assert page.links.count("#row-many-373") == 2
    assert "170 rows not shown g370 370" in page.text
    assert "The first 200 of 500 rows, and 2 that findings are derived from; the Parquet file has all." in page.text
    further = [{"row": 372, "key": {"group": "g372"}}]
    nothing_more = {"figure": None, "estimate": None, "basis": None, "columns": [], "cited_rows": []}
    assert json.loads((dataset / "analysis/results.json").read_text())["analyses"][0]["findings"] == [
        {
            "text": "g370 has 370, g372 372.",
            "table": "many",
            "row": 370,
            "key": {"group": "g370"},
            "other_rows": further,
            **nothing_more,
        },
        {"text": "Nothing else.", "table": None, "row": None, "key": None, "other_rows": [], **nothing_more},
    ]


@pytest.mark.usefixtures("net")
def test_the_page_names_columns_that_compare_nothing(call: Call, dataset: Path) -> None:
    call("--by", "task", "--by", "kernel", sizes=sizes)
    text = Page.read(dataset / "analysis/report.html").text
    assert "Compared by kernel (2 groups; known for 2 of 2 (100%) layers)" in text
    assert "Not compared , as no layer or only one group has a value: task" in text
    results = json.loads((dataset / "analysis/results.json").read_text())
    assert {"column": "task", "groups": 0, "layers": 0, "models": 0} in results["groups"]


@pytest.mark.usefixtures("net")
def test_a_long_table_as_text_stays_here(call: Call, dataset: Path) -> None:
    """Every version would send all of it again; its Parquet file is published."""

    def many(view: DatasetView) -> api.Result:
        rows = pa.table({name: range(20_000) for name in "abcdefghij"})
        return api.Result(tables=(ResultTable(name="many", title="M", rows=rows),))

    files = json.loads(call("--json", many=many).stdout)["files"]
    assert {"analysis/tables/many.csv", "analysis/tables/many.parquet"} <= {*files}
    assert len((dataset / "analysis/tables/many.csv").read_text().splitlines()) == 20_001
    assert (dataset / "analysis/tables/many.js").stat().st_size > 1_000_000
    listed = pq.read_table(dataset / "data/files")["path"].to_pylist()
    assert "analysis/tables/many.parquet" in listed
    assert {"analysis/tables/many.csv", "analysis/tables/many.js"}.isdisjoint(
        {*listed, *json.loads((dataset / "analysis/results.json").read_bytes())["sha256"]}
    )
    links = Page.read(dataset / "analysis/report.html").links
    assert "tables/many.parquet" in links
    assert "tables/many.csv" not in links
    assert list(verify_folder(dataset)) == []
    call(sizes=sizes)
    assert not list((dataset / "analysis/tables").glob("many.*"))


@pytest.mark.usefixtures("net")
def test_the_example_in_the_docs_works(call: Call, dataset: Path) -> None:
    text = (REPOSITORY / "docs/plugins.md").read_text("utf-8").partition("## An analysis")[2]
    names: dict[str, Any] = {name: getattr(api, name) for name in api.__all__}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/plugins.md", "exec", flags=annotations.compiler_flag), names)
    (analysis,) = names["filtercrawl_analyses"]()
    result = call(stored_types=analysis.run)
    assert result.exit_code == 0
    assert "- Weights are stored in 1 types." in result.stdout
    assert (dataset / "analysis/tables/stored_types.csv").read_text() == "stored_dtype,layer_id_count\nfloat32,2\n"
    assert "figure-stored_types" in Page.read(dataset / "analysis/report.html").ids


def bundled(dataset: Path, *words: str) -> dict[str, Any]:
    arguments = ["analyze", "--dataset", str(dataset), "--json", *words]
    result = CliRunner().invoke(build(load_plugins(declared())), arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def check_page(dataset: Path) -> None:
    report = dataset / "analysis/report.html"
    assert report.stat().st_size < 8_000_000
    page = Page.read(report)
    assert page.problems == []
    assert len(page.ids) == len(set(page.ids))
    assert all(link[1:].partition("?")[0] in page.ids for link in page.links if link.startswith("#"))
    assert all((dataset / "analysis" / link).is_file() for link in page.links if not link.startswith("#"))
    assert list(verify_folder(dataset)) == []


@pytest.mark.usefixtures("net")
def test_the_bundled_analyses_come_in_by_the_hook_and_get_by_with_next_to_nothing(dataset: Path) -> None:
    found = bundled(dataset, "--resamples", "10")
    assert {"census", "degeneracy", "drift"} <= {analysis["name"] for analysis in found["analyses"]}
    assert found["findings"]
    check_page(dataset)


@pytest.mark.exhaustive
def test_the_bundled_analyses_on_real_networks(dataset: Path, corpus: Path, run_sync: Sync) -> None:
    run_sync(f"local:{corpus / 'files'}")
    found = bundled(dataset, "--by", "depth_decile", "--by", "format", "--resamples", "20")
    assert found["figures"] > 20
    check_page(dataset)
    found = bundled(dataset, "--by", "format", "--resamples", "20", "--exact", "--only", "drift")
    assert found["options"]["exact"]
    assert found["figures"] > 3
    check_page(dataset)
