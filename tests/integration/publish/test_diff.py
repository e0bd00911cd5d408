"""What changed from one dataset to another: every kind of change is told, by the command and in the changelog."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from markdown_it import MarkdownIt
from typer.testing import CliRunner

from conftest import Sync
from filtercrawl.api.errors import DatasetError
from filtercrawl.api.plugin_manager import Plugins
from filtercrawl.cli.app import build
from filtercrawl.dataset.card.release import Release
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl_analysis.numerics.dct_basis import dct_basis
from filtercrawl_publish.comparison import changelog
from filtercrawl_publish.comparison.compare import Difference, compare_snapshots
from filtercrawl_publish.comparison.snapshot import DatasetSnapshot
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import layers, put, state, table

Grow = Callable[..., Path]


@pytest.fixture
def snapshot(tmp_path: Path, dataset: Path) -> Grow:
    """Copy the dataset as it is now."""

    def take(name: str) -> Path:
        return Path(shutil.copytree(dataset, tmp_path / name))

    return take


def differ(before: Path | None, after: Path) -> Difference:
    return compare_snapshots(
        None if before is None else DatasetSnapshot.open(before, "a"), DatasetSnapshot.open(after, "b")
    )


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["model_id"].removeprefix("local/") for row in rows]


def command(plugins: Plugins, *arguments: str) -> Any:
    return CliRunner().invoke(build(plugins), ["diff", *arguments], catch_exceptions=False)


def test_every_kind_of_change(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow) -> None:
    for name, seed in (("kept", 1), ("changed", 2), ("moved", 3), ("goes", 4), ("breaks", 5)):
        put(zoo / f"{name}.safetensors", state(seed))
    shutil.copy(zoo / "goes.safetensors", zoo / "heir.safetensors")
    run_sync()
    before = snapshot("before")
    put(zoo / "changed.safetensors", state(12))
    put(zoo / "new.safetensors", state(13))
    shutil.copy(zoo / "kept.safetensors", zoo / "copy.safetensors")
    (zoo / "moved.safetensors").rename(zoo / "elsewhere.safetensors")
    (zoo / "goes.safetensors").unlink()
    (zoo / "breaks.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    run_sync(prune=True)
    found = differ(before, dataset)
    assert names(found.new) == ["copy.safetensors", "new.safetensors"]
    assert found.new[0]["duplicate_of"] is None or found.new[0]["duplicate_of"] == "local/kept.safetensors"
    assert names(found.changed) == ["changed.safetensors"]
    assert found.changed[0] | {"model_id": 0} == {
        "model_id": 0, "file": True, "layers_added": 2, "layers_removed": 2, "kernels_added": 16, "kernels_removed": 16,
    }  # fmt: skip
    assert [(row["model_id"], row["reason"]) for row in found.gone] == [
        ("local/goes.safetensors", "no longer offered by its source")
    ]
    assert names(found.renamed) == ["moved.safetensors"]
    assert found.renamed[0]["new_name"] == "elsewhere.safetensors"
    assert names(found.promoted) == ["heir.safetensors"]
    assert names(found.failed) == ["breaks.safetensors"]
    assert names(found.merged) == (["kept.safetensors"] if found.new[0]["duplicate_of"] is None else [])
    counted = {size: (turn.layers_added, turn.layers_removed) for size, turn in found.kernels.items()}
    stored = {size: stored_of(dataset, size) - stored_of(before, size) for size in ("3x3", "5x5")}
    assert {size: added - removed for size, (added, removed) in counted.items()} == stored
    path = before / "data/index/part.parquet"
    turned = pq.read_table(path).sort_by([("model_id", "descending")])
    pq.write_table(turned, path)
    assert differ(before, dataset).to_dict() == found.to_dict()
    back = differ(dataset, before)
    assert names(back.gone) == names(found.new)
    assert names(back.new) == names(found.gone)
    assert {size: (turn.layers_removed, turn.layers_added) for size, turn in back.kernels.items()} == counted


def test_effective_weights_that_change_without_the_stored_ones(
    zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow
) -> None:
    norm = {f"2.{name}": torch.rand(4) for name in ("weight", "bias", "running_mean", "running_var")}
    tensors = {"0.weight": torch.randn(4, 3, 3, 3), "1.weight": torch.randn(4, 4, 3, 3), **norm}
    put(zoo / "net.safetensors", tensors)
    put(zoo / "other.safetensors", state(1))
    run_sync()
    before = snapshot("before")
    put(zoo / "net.safetensors", tensors | {"2.weight": 2 * norm["2.weight"]})
    run_sync()
    found = differ(before, dataset)
    assert found.effective == [{"model_id": "local/net.safetensors", "layers": 1}]
    assert found.kernels == {}
    assert "with other effective weights" in str(found)
    assert "1 layer, whose stored weights are the same" in str(found)
    assert differ(dataset, dataset).effective == []


def stored_of(dataset: Path, size: str) -> int:
    return sum(row["kernel"] == size and row["file"] is not None for row in table(dataset, "index"))


def test_nothing_differs_from_itself(zoo: Path, dataset: Path, run_sync: Sync, plugins: Plugins) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    found = differ(dataset, dataset)
    assert not found
    assert found.statistics is not None
    assert (found.statistics.drift, found.statistics.max_share_change) == (0.0, 0.0)
    assert "no difference" in command(plugins, str(dataset), str(dataset)).stdout


def test_everything_is_new_to_nobody(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    found = differ(None, dataset)
    assert names(found.new) == ["a.safetensors"]
    assert (found.before["models"], found.after["models"]) == (0, 1)
    assert found.statistics is not None
    assert (found.statistics.before, found.statistics.drift) == (None, None)


def test_statistics_are_those_of_the_kernels(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow) -> None:
    put(zoo / "a.safetensors", state(1, 16))
    put(zoo / "b.safetensors", state(2, 16))
    run_sync()
    before = snapshot("before")
    tilted = {name: t + torch.linspace(-2, 3, t.shape[-1]) if t.ndim == 4 else t for name, t in state(3, 24).items()}
    put(zoo / "c.safetensors", tilted)
    run_sync()
    found = differ(before, dataset).statistics
    assert found is not None
    was, now = scaled(before), scaled(dataset)
    assert found.kernels == (len(was), len(now))
    for told, kernels in ((found.before, was), (found.after, now)):
        centred = kernels - kernels.mean(0)
        variances = np.linalg.svd(centred, compute_uv=False) ** 2
        np.testing.assert_allclose(told, variances / variances.sum(), rtol=1e-9)  # type: ignore[arg-type]
    assert found.drift == pytest.approx(drift(was, now), rel=1e-6)
    assert found.drift > 0


def scaled(dataset: Path) -> np.ndarray:
    """All distinct 3x3 kernels, in float16 over their largest magnitude, float64 [k, 9]."""
    found = {weight.tobytes(): weight for weight in layers(dataset).values() if weight.shape[2:] == (3, 3)}
    kernels = np.concatenate([weight.reshape(-1, 9) for weight in found.values()]).astype(np.float16)
    return (kernels / np.abs(kernels).max(1, keepdims=True)).astype(np.float64)


def drift(was: np.ndarray, now: np.ndarray) -> float:
    """D as the paper defines it, written out a component at a time."""
    rows = dct_basis((3, 3))
    together = np.concatenate([was, now])
    # Each side around the mean of both, as merged scatters are.
    variances = ((together - together.mean(0)) @ rows.T).var(0)
    total = 0.0
    for row, share in zip(rows, variances / variances.sum(), strict=True):
        p, q = (np.histogram(side @ row, 70, (-3, 3), density=True)[0] for side in (was, now))
        p[p == 0] = q[q == 0] = np.finfo(np.float32).eps
        p, q = p / p.sum(), q / q.sum()
        total += share * ((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum())
    return float(total)


def test_columns_that_an_older_dataset_lacks(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = snapshot("before")
    path = before / "data/models/part.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["paper", "seed"]), path)
    found = differ(before, dataset)
    assert found.columns == {"models": {"added": ["paper", "seed"], "removed": []}}
    assert not found.changed


def test_licences_and_metadata(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow) -> None:
    for number in range(7):
        put(zoo / f"{number}.safetensors", state(number))
    run_sync()
    before = snapshot("before")
    path = dataset / "data/models/part.parquet"
    rows = [row | {"license": "MIT", "task": "a|b\n"} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    found = differ(before, dataset)
    assert [(row["from"], row["to"]) for row in found.licenses] == [(None, "MIT")] * 7
    assert found.metadata["task"]["changed"] == 7
    assert len(found.metadata["task"]["examples"]) == 5
    assert "under another license" in changelog.render_changelog("v1", found)


def test_the_changelog_grows_and_is_published(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    changelog.write_changelog(None, dataset, Release(version="v2026.01.01"), dataset)
    listed(dataset)
    first = snapshot("first")
    put(zoo / "b.safetensors", state(2))
    run_sync()
    # Of a version that was never published.
    changelog.write_changelog(first, dataset, Release(version="v2026.01.02"), dataset)
    changelog.write_changelog(first, dataset, Release(version="v2026.01.03"), dataset)
    listed(dataset)
    text = (dataset / "CHANGES.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["## v2026.01.03", "## v2026.01.01"]
    assert text.count("local/b.safetensors") == 1
    told = json.loads((dataset / "changes.json").read_bytes())
    assert (told["version"], told["previous"]) == ("v2026.01.03", "v2026.01.01")
    assert names(told["models"]["new"]) == ["b.safetensors"]
    assert told["before"]["root"] == json.loads((first / "manifest.json").read_bytes())["root"]
    files = {row["path"] for row in table(dataset, "files")}
    assert {"CHANGES.md", "changes.json"} <= files
    assert list(verify_folder(dataset)) == []
    (dataset / "changes.json").write_text("{}")
    assert [finding.where for finding in verify_folder(dataset)] == ["changes.json"]


def listed(dataset: Path) -> None:
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
        export_if_needed(dataset, catalog)


def test_what_strangers_write_is_no_markup(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    evil = "x](javascript:alert(1))<img src=x>\n## v9"
    put(zoo / "a.safetensors", state(1))
    run_sync()
    path = dataset / "data/models/part.parquet"
    rows = [row | {"model_id": f"local/{evil}", "license": evil} for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    text = changelog.render_changelog("v1", differ(None, dataset))
    page = MarkdownIt("commonmark").render(text)
    assert page.count("<h2>") == 1
    assert "javascript:alert(1)" in page
    assert not any(tag in page for tag in ("<a", "<img"))


def test_the_command(zoo: Path, dataset: Path, run_sync: Sync, snapshot: Grow, plugins: Plugins) -> None:
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = snapshot("before")
    put(zoo / "b.safetensors", state(2))
    run_sync()
    told = json.loads(command(plugins, str(before), str(dataset), "--json").stdout)
    assert names(told["models"]["new"]) == ["b.safetensors"]
    assert told["kernels"]["3x3"]["kernels_added"] == 12
    lines = command(plugins, str(before), str(dataset)).stdout.splitlines()
    assert "- 1 new" in lines
    assert any(line.startswith("- 3x3: 12 kernels in 1 layer added") for line in lines)


def test_what_cannot_be_compared(zoo: Path, dataset: Path, run_sync: Sync, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset here"):
        DatasetSnapshot.open(tmp_path, "here")
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    run_sync()
    path = dataset / "data/index/part.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.sort_by([("model_id", "descending")]), path)
    assert not differ(dataset, dataset).kernels  # another order is none
    pq.write_table(rows.sort_by([("layer", "ascending")]), path)
    with pytest.raises(DatasetError, match="not in order"):
        differ(None, dataset)
    path.write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"index/part\.parquet cannot be read"):
        differ(None, dataset)
