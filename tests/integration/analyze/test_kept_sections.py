"""`analyze --only` keeps what earlier runs wrote of other analyses; `--out` writes elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import Sync
from filtercrawl.api import DatasetView, Figure, Finding, Result, ResultTable, SampleSize
from filtercrawl.api.errors import DatasetError, UsageError
from filtercrawl.api.plugin_manager import Plugins, load_plugins
from filtercrawl.config import resolve
from filtercrawl_analysis import AnalysisReport, analyze
from filtercrawl_publish.releasing.withdraw import withdraw_from_folder
from filtercrawl_publish.verification import verify_folder
from support.plugins import declared, entry
from support.report_page import Page
from support.zoo_files import published, put, state


class Counting:
    """An analysis of one table, one figure and one finding: how many layers there are; and of a long table."""

    def __init__(self, name: str, *, broken: bool = False) -> None:
        self.name, self.title, self.broken = name, f"About {name}", broken

    def run(self, dataset: DatasetView) -> Result:
        if self.broken:
            raise RuntimeError("no luck")
        rows = pa.table({"name": [self.name], "layers": [len(dataset.index)]})

        def draw(canvas: Any) -> None:
            canvas.subplots().bar([0], rows["layers"].to_pylist())

        basis = SampleSize(kernels=1, layers=len(dataset.index), models=1)
        return Result(
            tables=(
                ResultTable(name=f"{self.name}_table", title="T", rows=rows),
                ResultTable(name=f"{self.name}_long", title="L", rows=pa.table({"n": range(500)})),
            ),
            figures=(
                Figure(
                    name=f"{self.name}_bars",
                    title="F",
                    caption="C.",
                    basis=basis,
                    table=f"{self.name}_table",
                    draw=draw,
                ),
            ),
            findings=(Finding(text=f"{self.name} counts {len(dataset.index)}.", table=f"{self.name}_table", row=0),),
        )


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    return offer(monkeypatch, Counting("one"), Counting("two"))


def offer(monkeypatch: pytest.MonkeyPatch, *analyses: Counting) -> Plugins:
    """Install these analyses and no others."""
    ours = entry(monkeypatch, "zz", filtercrawl_analyses=lambda: iter(analyses))
    return load_plugins([*(point for point in declared() if not load_plugins([point]).analyses), ours])


@pytest.fixture
def net(zoo: Path, run_sync: Sync, dataset: Path) -> Path:
    put(zoo / "net.safetensors", state())
    run_sync()
    return dataset


def page_of(report: AnalysisReport) -> Page:
    page = Page.read(report.page)
    assert page.problems == []
    assert len(page.ids) == len(set(page.ids))
    return page


def pictures(page: Page) -> dict[tuple[str, str], str]:
    """Images of figures by name and tag."""
    return {
        (picture["data-figure"], picture["tag"]): picture.get("src") or picture["srcset"]
        for picture in page.pictures
        if "data-figure" in picture
    }


def test_one_analysis_run_again_leaves_the_others_in_the_report(net: Path, plugins: Plugins) -> None:
    before = page_of(analyze(net, plugins=plugins))
    files = published(net)
    report = analyze(net, only=["two"], plugins=plugins)
    assert published(net) == files  # the same results: no byte changes
    assert report.findings == ("two counts 2.",)
    assert [analysis["name"] for analysis in report.to_dict()["analyses"]] == ["two"]
    assert [analysis["name"] for analysis in report.results["analyses"]] == ["one", "two"]
    assert pictures(page_of(report)) == pictures(before)
    assert list(verify_folder(net)) == []


def test_script_files_of_long_tables_stay_and_go_with_their_sections(
    net: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = analyze(net, plugins=plugins)
    scripts = ["analysis/tables/one_long.js", "analysis/tables/two_long.js"]
    assert [path for path in report.paths if path.endswith(".js")] == scripts
    assert not any(path in json.dumps(report.results) for path in scripts)
    assert {*scripts} <= {*pq.read_table(net / "data/files")["path"].to_pylist()}
    kept = (net / scripts[0]).read_bytes()
    (net / scripts[0]).write_text("of an older version")
    report = analyze(net, only=["two"], plugins=plugins)
    assert (net / scripts[0]).read_bytes() == kept
    assert list(verify_folder(net)) == []
    report = analyze(net, plugins=offer(monkeypatch, Counting("two")))
    assert [path for path in report.paths if path.endswith(".js")] == scripts[1:]
    assert not (net / scripts[0]).exists()
    assert list(verify_folder(net)) == []


def test_a_run_of_other_settings_is_said_to_be_one(net: Path, plugins: Plugins) -> None:
    analyze(net, seed=3, plugins=plugins)
    report = analyze(net, only=["two"], plugins=plugins)
    text = page_of(report).text
    assert "which had other settings: seed 3." in text
    assert "earlier state of the dataset" not in text
    made = {analysis["name"]: analysis["options"]["seed"] for analysis in report.results["analyses"]}
    assert made == {"one": 3, "two": 0}


def test_sections_of_an_earlier_state_of_the_dataset_are_marked(
    net: Path, plugins: Plugins, zoo: Path, run_sync: Sync
) -> None:
    first = analyze(net, plugins=plugins)
    put(zoo / "another.safetensors", state(1))
    run_sync()
    report = analyze(net, only=["two"], plugins=plugins)
    text = page_of(report).text
    assert "one counts 2." in text
    assert "two counts 4." in text
    assert text.count("Of an earlier state of the dataset") == 1
    top = text.partition("How these were chosen")[0]
    assert top.count("of an earlier state of the dataset") == 1
    assert "About one · run of" in top
    assert "filtercrawl analyze --only one makes them anew." in text
    states = {analysis["name"]: analysis["dataset_state"] for analysis in report.results["analyses"]}
    assert states == {"one": first.results["dataset_state"], "two": report.results["dataset_state"]}
    assert states["one"] != states["two"]
    assert list(verify_folder(net)) == []
    assert "earlier state" not in page_of(analyze(net, plugins=plugins)).text


def test_what_was_made_before_a_model_was_withdrawn_goes(
    net: Path, plugins: Plugins, zoo: Path, run_sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(zoo / "another.safetensors", state(1))
    run_sync()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    analyze(net, plugins=plugins)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000100")
    withdraw_from_folder(["local/another.safetensors"], "asked for", resolve({"dataset": str(net)}))
    report = analyze(net, only=["two"], plugins=plugins)
    assert [analysis["name"] for analysis in report.results["analyses"]] == ["two"]
    assert not (net / "analysis/tables/one_table.csv").exists()


def test_listing_the_same_checkpoints_again_is_no_other_state(net: Path, plugins: Plugins, run_sync: Sync) -> None:
    before = analyze(net, plugins=plugins).results["dataset_state"]
    run_sync()
    assert analyze(net, only=["two"], plugins=plugins).results["dataset_state"] == before


def test_an_analysis_that_fails_keeps_its_earlier_results(
    net: Path, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyze(net, plugins=plugins)
    report = analyze(net, only=["one"], plugins=offer(monkeypatch, Counting("one", broken=True), Counting("two")))
    assert report.left_out == {"one": "RuntimeError: no luck"}
    assert report.findings == ()
    text = page_of(report).text
    assert "one : RuntimeError: no luck" in text
    assert "one counts 2." in text
    assert (net / "analysis/tables/one_table.csv").is_file()


def test_a_section_whose_files_are_gone_is_kept_without_them(net: Path, plugins: Plugins) -> None:
    analyze(net, plugins=plugins)
    (net / "analysis/tables/one_table.parquet").unlink()
    (net / "analysis/report.html").unlink()
    report = analyze(net, only=["two"], plugins=plugins)
    page = page_of(report)
    assert "one counts 2." in page.text
    assert "table-one_table" not in page.ids
    assert pictures(page)["one_bars", "img"] == pictures(page)["one_bars", "source"]  # the SVG file, in both themes


@pytest.mark.parametrize("content", ["{}", "[", '{"analyses": [{"tables": [{"name": "../up"}], "figures": []}]}'])
def test_results_that_cannot_be_read_are_replaced_by_a_full_run_alone(
    net: Path, plugins: Plugins, content: str
) -> None:
    analyze(net, plugins=plugins)
    (net / "analysis/results.json").write_text(content)
    before = published(net)
    with pytest.raises(DatasetError, match=r"results\.json: damaged or of another version.*without --only"):
        analyze(net, only=["two"], plugins=plugins)
    assert published(net) == before
    report = analyze(net, plugins=plugins)
    assert [analysis["name"] for analysis in report.results["analyses"]] == ["one", "two"]
    assert list(verify_folder(net)) == []


def test_results_of_an_older_layout_are_not_deleted_by_one_analysis(net: Path, plugins: Plugins) -> None:
    path = net / "analysis/results.json"
    older = analyze(net, plugins=plugins).results
    older = {**older, "analyses": [{k: v for k, v in entry.items() if k != "made"} for entry in older["analyses"]]}
    path.write_text(json.dumps(older))
    with pytest.raises(DatasetError, match="cannot be kept"):
        analyze(net, only=["two"], plugins=plugins)
    assert json.loads(path.read_text()) == older
    assert (net / "analysis/tables/one_table.csv").is_file()


@pytest.mark.parametrize(
    ("kind", "key"), [(None, "options"), ("findings", "estimate"), ("tables", "tests"), ("figures", "basis")]
)
def test_results_that_lack_what_the_page_shows_are_refused_before_any_work(
    net: Path, plugins: Plugins, kind: str | None, key: str
) -> None:
    analyze(net, plugins=plugins)
    path = net / "analysis/results.json"
    results = json.loads(path.read_text())
    one = results["analyses"][0]
    del (one if kind is None else one[kind][0])[key]
    path.write_text(json.dumps(results))
    with pytest.raises(DatasetError, match=r"results\.json: damaged or of another version"):
        analyze(net, only=["two"], plugins=plugins)


def test_a_report_elsewhere_leaves_the_dataset_alone(net: Path, plugins: Plugins, tmp_path: Path) -> None:
    before = published(net)
    out = tmp_path / "results"
    (out / "tables").mkdir(parents=True)
    (out / "tables/mine.csv").write_text("a\n1\n")
    (out / "tables/mine.js").write_text("1;")
    report = analyze(net, out=out, plugins=plugins)
    assert published(net) == before
    assert report.page == out / "report.html"
    assert all((out / path).is_file() for path in report.paths)
    page = page_of(report)
    assert all((out / link).is_file() for link in page.links if not link.startswith("#"))
    assert pq.read_table(out / "tables/one_table.parquet")["layers"].to_pylist() == [2]
    assert report.results == json.loads((out / "results.json").read_text())
    assert not (out / ".filtercrawl").exists()
    again = analyze(net, out=out, only=["two"], plugins=plugins)
    assert [analysis["name"] for analysis in again.results["analyses"]] == ["one", "two"]
    analyze(net, out=out, plugins=load_plugins(declared()), only=None, by=["task"], resamples=5)
    assert not (out / "tables/one_table.csv").exists()
    assert not (out / "tables/one_long.js").exists()
    assert (out / "tables/mine.csv").is_file()
    assert (out / "tables/mine.js").is_file()


@pytest.mark.parametrize("place", ["", "data/x", "analysis", ".filtercrawl"])
def test_a_folder_of_the_dataset_is_refused(net: Path, plugins: Plugins, place: str) -> None:
    with pytest.raises(UsageError, match="belongs to the dataset"):
        analyze(net, out=net / place, plugins=plugins)


def test_a_file_is_no_folder(net: Path, plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt is a file"):
        analyze(net, out=tmp_path / "notes.txt", plugins=plugins)
