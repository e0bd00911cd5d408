"""Networks with copied and dead filters: the tables of `filters`, a joined table, and the filters from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import load_file

from filtercrawl.api.analysis import Finding
from filtercrawl.api.errors import UsageError
from filtercrawl_analysis import AnalysisReport, analyze, iter_filters
from filtercrawl_publish.verification import verify_folder
from support.report_page import Page
from support.synthetic_datasets import Net, analysed, plant

OUT = 24


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    nets = []
    for i in range(6):
        generator = torch.Generator().manual_seed(i)
        state = {f"l{j}.weight": torch.randn(OUT, 8, 3, 3, generator=generator) for j in range(2)}
        nets.append(Net(name=f"net{i}", state=state))
    nets[0].state["l0.weight"][1] = -2 * nets[0].state["l0.weight"][4]
    nets[1].state["l1.weight"][3] = 0
    nets[2].state["l0.weight"][0, 0, 0, 0] = torch.nan
    return plant(tmp_path_factory.mktemp("filters"), nets)


@pytest.fixture(scope="module")
def scores(dataset: Path) -> Path:
    """A score that grows with the norm, and one that has nothing to do with the filters; of three networks."""
    random = np.random.default_rng(0)
    rows = [
        (one.filter_id, one.norm_l2 + 0.01 * random.standard_normal(), random.standard_normal())
        for one in iter_filters(dataset, [f"acme/net{i}" for i in (3, 4, 5)])
    ]
    rows.append(("acme/gone#l0.weight:0", 1.0, 1.0))
    path = dataset.parent / "scores.csv"
    ids, related, unrelated = zip(*rows, strict=True)
    lines = [f"{i},{a},{b}" for i, a, b in zip(ids, related, unrelated, strict=True)]
    path.write_text("\n".join(["filter_id,related,unrelated", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def report(dataset: Path, scores: Path) -> AnalysisReport:
    return analyze(dataset, only=["filters"], join=scores, progress=False)


def test_every_filter_has_a_row_with_the_joined_columns(report: AnalysisReport, dataset: Path) -> None:
    stored = pq.read_table(dataset / "analysis/tables/filters.parquet")
    assert stored == report.tables["filters"].replace_schema_metadata(None)
    rows = {row["filter_id"]: row for row in stored.to_pylist()}
    assert len(rows) == 6 * 2 * OUT
    copied, twin = rows["acme/net0#l0.weight:1"], rows["acme/net0#l0.weight:4"]
    assert (copied["twin"], copied["copy"], twin["twin"], twin["copy"]) == (4, True, 1, True)
    assert copied["twin_cosine"] == pytest.approx(-1)
    assert rows["acme/net1#l1.weight:3"]["dead"]
    assert rows["acme/net2#l0.weight:0"]["norm_l2"] is None
    assert rows["acme/net0#l0.weight:1"]["related"] is None
    assert rows["acme/net3#l0.weight:1"]["related"] == pytest.approx(rows["acme/net3#l0.weight:1"]["norm_l2"], abs=0.05)
    assert (dataset / "analysis/tables/filters.csv").read_text().count("\n") == 6 * 2 * OUT + 1


def test_what_is_planted_is_found(report: AnalysisReport) -> None:
    models = {str(row["model_id"]): row for row in report.tables["model_filters"].to_pylist()}
    assert models["acme/net0"]["copies"] == "more than independent filters"
    assert {models[f"acme/net{i}"]["copies"] for i in range(1, 6)} == {"none"}
    assert [models[f"acme/net{i}"]["n_dead_filters"] for i in range(3)] == [0, 1, 0]
    found = {(row["joined"], row["measure"]): row for row in report.tables["filter_correlations"].to_pylist()}
    assert found["related", "norm_l2"]["verdict"] == "higher"
    assert found["unrelated", "norm_l2"]["verdict"] == "not told apart"
    assert found["related", "norm_l2"]["layers"] == 6
    text = "\n".join(report.findings)
    assert "2 of 288 filters are copies" in text
    assert "acme/net0 (4.17%)" in text
    assert "1 of 288 filters is dead, in 1 of 6 models" in text
    assert "144 of 145 joined rows belong to a filter" in text
    assert "Filters with a higher related have a higher norm l2" in text
    assert "unrelated and norm l2 are not told apart from unrelated" in text


def test_the_report_is_sound_and_names_the_joined_file(report: AnalysisReport, dataset: Path) -> None:
    assert list(verify_folder(dataset)) == []
    page = Page.read(report.page)
    assert page.problems == []
    assert {"figure-twin_similarity", "figure-dead_and_copied_filters", "figure-filter_correlations"} <= set(page.ids)
    results = json.loads((dataset / "analysis/results.json").read_text())
    assert results["options"]["join"]["name"] == "scores.csv"
    assert str(dataset.parent) not in json.dumps(results)
    assert f"of {6 * 2 * OUT:,} rows" in page.text


def test_findings_cite_rows(dataset: Path, scores: Path) -> None:
    result = analysed("filters", dataset, join=scores)
    tables = {table.name: table.rows.to_pylist() for table in result.tables}
    findings = [finding for finding in result.findings if isinstance(finding, Finding)]
    assert findings[0].table == "filter_correlations"  # what the user asked comes first
    copies = next(finding for finding in findings if "are copies of another" in finding.text)
    assert [tables["model_filters"][row]["model_id"] for row in copies.rows] == ["acme/net0"]
    for finding in findings:
        if finding.table == "filter_correlations":
            assert tables["filter_correlations"][finding.rows[0]]["joined"] in finding.text


def test_a_table_that_is_larger_than_what_is_kept_is_written_in_full(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("filtercrawl_analysis.analyses.filters._ROWS_IN_MEMORY", 40)
    monkeypatch.setattr("filtercrawl.api.spooled_rows._BATCH_ROWS", 30)
    report = analyze(dataset, only=["filters"], progress=False)
    assert report.tables["filters"].num_rows == 40
    stored = pq.ParquetFile(dataset / "analysis/tables/filters.parquet")
    assert stored.metadata.num_rows == 6 * 2 * OUT
    assert stored.num_row_groups == 6
    assert not (dataset / "analysis/tables/filters.csv").exists()
    (table,) = (t for t in report.results["analyses"][0]["tables"] if t["name"] == "filters")
    assert table["rows"] == 6 * 2 * OUT
    page = Page.read(report.page)
    assert f"The first 40 of {6 * 2 * OUT:,} rows" in page.text
    assert list(verify_folder(dataset)) == []


def test_filters_from_python(dataset: Path) -> None:
    found = {one.filter_id: one for one in iter_filters(dataset)}
    assert len(found) == 6 * 2 * OUT
    weight = load_file(dataset.parent / "zoo/net5.safetensors")["l1.weight"]
    one = found["acme/net5#l1.weight:7"]
    assert np.array_equal(one.weight, weight[7])
    assert one.norm_l1 == pytest.approx(np.abs(weight[7]).sum())
    assert found["acme/net0#l0.weight:1"].twin == 4
    assert found["acme/net2#l0.weight:0"].twin is None


def test_a_file_that_cannot_be_joined_ends_the_run_before_it_begins(dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"score": [1.0]}), path)
    with pytest.raises(UsageError, match=r"--join scores.parquet: needs a column filter_id"):
        analyze(dataset, join=path, progress=False)
