"""Metadata files of the source `local`: columns of `models`, columns of the user's own, and what is wrong with them."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm

from conftest import NOW, Sync
from filtercrawl.api.errors import UsageError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.config import Settings
from filtercrawl.pipeline.inspect import inspect_structure
from filtercrawl_analysis.run.analyze import analyze, check_columns
from filtercrawl_plugins.sources.local.source import LocalPattern
from support.zoo_files import models, put, state, table

ROWS = [
    {"file_name": "a.safetensors", "task": "image-classification", "training_datasets": "imagenet-22k;imagenet-1k",
     "license": "apache-2.0", "run_id": "r1", "step": 500, "seed": 3, "run_final": "false", "optimizer": "sgd",
     "lr": 0.1},
    {"file_name": "runs/*/last.safetensors", "architecture": "resnet18", "run_final": "true", "optimizer": "adam"},
]  # fmt: skip


def put_metadata(folder: Path, extension: str, rows: list[dict[str, object]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    if extension == "parquet":
        columns = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in names}
        pq.write_table(pa.table(columns), folder / "metadata.parquet")
    elif extension == "jsonl":
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(names), *(",".join(str(row.get(name, "")) for name in names) for row in rows)]
        (folder / "metadata.csv").write_text("\n".join(lines))


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_columns_are_those_of_models_and_others_are_extra(
    extension: str, zoo: Path, dataset: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "runs/7/last.safetensors", state(1))
    put(zoo / "c.safetensors", state(2))
    put_metadata(zoo, extension, [dict(row) for row in ROWS])
    report = run_sync()
    found = models(dataset)
    one, other, third = (found[f"local/{name}.safetensors"] for name in ("a", "runs/7/last", "c"))
    assert (one["task"], one["training_datasets"]) == ("image-classification", ["imagenet-22k", "imagenet-1k"])
    assert (one["license"], one["license_evidence"]) == ("Apache-2.0", f"metadata.{extension}: apache-2.0")
    assert (one["run_id"], one["step"], one["seed"], one["run_final"]) == ("r1", 500, 3, False)
    assert one["visual_category"] == "natural"
    assert json.loads(one["extra"])["optimizer"] == "sgd"
    assert float(json.loads(one["extra"])["lr"]) == 0.1
    assert (other["architecture"], other["run_final"], other["run_id"]) == ("resnet18", True, None)
    assert (third["task"], third["extra"]) == (None, None)
    assert report.checkpoints["ignored"] == 0
    assert {row["run_id"] for row in table(dataset, "index")} == {"r1", None}
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_what_changes_in_the_metadata_is_published_without_reading(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state())
    run_sync()
    put_metadata(zoo, "csv", [dict(ROWS[0])])
    report = run_sync(now=NOW + timedelta(days=1))
    assert report.checkpoints["unchanged"] == 1
    row = models(dataset)["local/a.safetensors"]
    assert (row["step"], json.loads(row["extra"])["optimizer"]) == (500, "sgd")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,task\na.safetensors,x\n", "metadata.csv: has no column file_name"),
        ("file_name,task\nb.safetensors,x\n", "metadata.csv: no file matches 'b.safetensors'"),
        ("file_name,taks\na.safetensors,x\n", "the column 'taks' is kept as extra; did you mean 'task'?"),
        ("file_name,step\na.safetensors,-3\n", "step is -3, a negative number"),
        ("file_name,step\na.safetensors,abc\n", "step is 'abc', not a whole number"),
        ("file_name,licence\na.safetensors,MIT\n", "the column 'licence' is kept as extra; did you mean 'license'?"),
        ("file_name,outcome\na.safetensors,failed\n", "the column 'outcome' is written by filtercrawl and left out"),
        ("file_name,step\na.safetensors,soon\n", "a.safetensors: step is 'soon'"),
        ("file_name,license\na.safetensors,my own\n", "license is 'my own', not an SPDX expression"),
        ("file_name,run_final\na.safetensors,maybe\n", "run_final is 'maybe', neither true nor false"),
        ('file_name,metrics\na.safetensors,"{""acc"": NaN}"\n', "NaN is no number in JSON"),
        ("file_name,arch\na.safetensors,resnet18\n", "arch is 'resnet18', not SOURCE/NAME"),
        (
            "file_name,step\na.safetensors,1\nb*,2\n./a.safetensors,3\na.safetensors,4\nb*,2\n",
            "metadata.csv: rows 1 and 3 and 4 name 'a.safetensors'; where they differ, the last of them counts",
        ),
        ("file_name,step\nb*,2\n,3\nb*,2\n", "metadata.csv: rows 1 and 3 name 'b*'"),
        ("file_name,step\nb*,2\n,3\n", "metadata.csv: row 2 has no file_name"),
        (
            "file_name,task\na.safetensors,segmentation\n",
            "metadata.csv: the task 'segmentation' is none of the Hub's, and is kept; did you mean 'image-segm",
        ),
        ("file_name,task\na.safetensors,optics\n", "the task 'optics' is none of the Hub's, and is kept"),
        ("file_name\na.safetensors,1\n", "metadata.csv: cannot be read (a row has more cells"),
        ("file_name\n\xff\xfe", "metadata.csv: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    content: str, said: str, zoo: Path, dataset: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "a.safetensors", state())
    (zoo / "metadata.csv").write_bytes(content.encode("latin-1"))
    assert run_sync().failures == {}
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [line for line in warned if said in line]
    assert all("\n" not in line for line in warned)
    assert models(dataset)["local/a.safetensors"]["outcome"] == "emitted"


def test_a_broken_file_clears_nothing_that_it_stated_before(
    zoo: Path, dataset: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "a.safetensors", state())
    put_metadata(zoo, "csv", [dict(ROWS[0])])
    run_sync()
    before = models(dataset)["local/a.safetensors"]
    (zoo / "metadata.csv").write_text("file_name\na.safetensors,1\n")
    put(zoo / "b.safetensors", state(1))
    run_sync(now=NOW + timedelta(days=1))
    rows = models(dataset)
    assert {**rows["local/a.safetensors"], "last_seen": None} == {**before, "last_seen": None}
    assert rows["local/b.safetensors"]["task"] is None
    assert [line for line in caplog.messages if "kept" in line] == [
        "metadata.csv: cannot be read (a row has more cells than there are columns: ['1']); "
        "it is ignored, and what it stated of the checkpoints beside it before is kept"
    ]
    (zoo / "metadata.csv").unlink()
    run_sync(now=NOW + timedelta(days=2))
    row = models(dataset)["local/a.safetensors"]
    assert (row["task"], row["run_id"], row["step"], row["run_final"], row["extra"]) == (None,) * 5


def test_the_nearest_metadata_file_counts(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "x/a.safetensors", state())
    put(zoo / "x/y/b.safetensors", state(1))
    put_metadata(zoo, "csv", [{"file_name": "*", "family": "outer"}])
    put_metadata(zoo / "x/y", "csv", [{"file_name": "b.safetensors", "family": "inner"}])
    run_sync()
    assert {row["name"]: row["family"] for row in models(dataset).values()} == {
        "x/a.safetensors": "outer",
        "x/y/b.safetensors": "inner",
    }


def test_analyses_compare_by_the_users_own_columns(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for seed, name in enumerate("abcd"):
        put(zoo / f"{name}.safetensors", state(seed, width=8))
    optimizers = dict(zip("abcd", ("sgd", "sgd", "adam", "adam"), strict=True))
    rows: list[dict[str, object]] = [
        {"file_name": f"{name}.safetensors", "optimizer": optimizer} for name, optimizer in optimizers.items()
    ]
    put_metadata(zoo, "csv", rows)
    run_sync()
    analyze(dataset, by="optimizer", only=["census"], resamples=10)
    assert "sgd" in (dataset / "analysis/tables/census.csv").read_text()
    with pytest.raises(UsageError, match="no column is named 'optimiser'; the nearest is optimizer"):
        check_columns(["optimiser"], dataset)


def test_label_and_architecture_stand_in_any_order(tmp_path: Path) -> None:
    for pattern in (f"{tmp_path} as=x arch=timm/resnet18", f"{tmp_path} arch=timm/resnet18 as=x"):
        parsed = LocalPattern.parse(pattern)
        assert (parsed.path, parsed.label, parsed.arch) == (tmp_path, "x/", "timm/resnet18")
        assert LocalPattern.parse(parsed.canonical) == parsed
    with pytest.raises(UsageError, match="is not SOURCE/NAME"):
        LocalPattern.parse(f"{tmp_path} arch=resnet18")


@pytest.mark.parametrize("how", ["option", "column"])
def test_a_stated_architecture_gives_the_structure_of_the_zoo(
    how: str, zoo: Path, dataset: Path, run_sync: Sync, plugins: Plugins
) -> None:
    network = timm.create_model("test_resnet", pretrained=False)
    put(zoo / "mine.safetensors", network.state_dict())
    run_sync()
    assert {row["conv_depth"] for row in table(dataset, "index")} == {None}
    selector = f"local:{zoo}"
    if how == "option":
        selector += " arch=timm/test_resnet"
    else:
        put_metadata(zoo, "csv", [{"file_name": "mine.safetensors", "arch": "timm/test_resnet"}])
    report = run_sync(selector, now=NOW + timedelta(days=1))
    assert report.checkpoints["changed"] == 1
    expected = {row["tensor"]: row for row in inspect_structure("timm:test_resnet", plugins, Settings())}
    found = {row["tensor"]: row for row in table(dataset, "index")}
    assert found.keys() == expected.keys()
    for tensor, row in found.items():
        assert row["conv_depth"] == expected[tensor]["conv_depth"] is not None
        assert row["operator_verified"]
    assert models(dataset)["local/mine.safetensors"]["architecture"] == "test_resnet"
    assert run_sync(selector, now=NOW + timedelta(days=2)).checkpoints["unchanged"] == 1


def test_an_architecture_that_nobody_knows_is_named(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "mine.safetensors", state())
    report = run_sync(f"local:{zoo} arch=timm/resnet19")
    assert "'timm/resnet19'; these know some: " in report.failures["local/mine.safetensors"]


def test_a_warning_is_short_and_of_many_only_some_are_written(
    zoo: Path, run_sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    put(zoo / "net.safetensors", state())
    long = "x" * 100_000
    rows: list[dict[str, object]] = [
        {"file_name": f"gone{number}.pt", "task": f"{number}{long}"} for number in range(30)
    ]
    put_metadata(zoo, "csv", rows)
    run_sync()
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert max(map(len, warned)) < 300
    assert (
        sum("is none of the Hub's" in line for line in warned)
        == sum("no file matches" in line for line in warned)
        == 10
    )
    assert [line for line in warned if "the same of 20 more" in line] == ["metadata.csv: the same of 20 more"] * 2
