"""Subsets of a dataset with something planted in it: what is in them, where it went otherwise, and who reads them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from filtercrawl import KernelDataset, load_layers, load_subset, open_dataset, subset, to_tensors
from filtercrawl.api import CheckpointMetadata, TrainingRun
from filtercrawl.api.errors import DatasetError, PolicyError, UsageError
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.catalog.recovery import export_if_needed
from filtercrawl.dataset.files.subset_folders import FOLDER
from filtercrawl.dataset.tables.subsets import OUTDATED
from filtercrawl.subsets.recipe import parse_recipe
from filtercrawl_publish.verification import verify_folder
from support.synthetic_datasets import Net, plant

HEALTHY = """
name = "healthy"
description = "Healthy | <b>kernels</b>."
where = "models.architecture is null or models.architecture <> 'left-out'"

[layers]
kernel_sizes = ["3x3", "5x5"]
final_only = true
range.sparsity = { max = 0.5 }

[kernels]
finite = true
dead_below = 0.01

[deduplicate]
layers = true
kernels = "scale_and_sign"

[splits]
train = 0.4
validation = 0.2
test = 0.4
"""


def weights(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def nets() -> Iterator[Net]:
    """Networks: kin by a shared stem and by a run, with dead, infinite and repeated kernels, and dead layers."""
    stem = weights(0, 8, 3, 3, 3)
    for number in range(6):
        state = {"a.weight": weights(10 + number, 8, 4, 3, 3), "b.weight": weights(20 + number, 4, 8, 5, 5)}
        state["b.weight"][0, :3] *= 1e-4
        state["a.weight"][1, 1] = -2 * state["a.weight"][0, 0]
        if number in (1, 4):
            state["stem.weight"] = stem
        if number == 2:
            state["a.weight"][3, 3, 1, 1] = torch.inf
            state["dead.weight"] = weights(30, 8, 8, 3, 3)
            state["dead.weight"][1:] *= 1e-6
        family = "even" if number % 2 == 0 else "odd"
        yield Net(name=f"net{number}", state=state, meta=CheckpointMetadata(family=family, license="mit"))
    for step in (1, 2):
        run = TrainingRun(id="run", step=step, final=step == 2)
        yield Net(name=f"run{step}", state={"c.weight": weights(40 + step, 4, 4, 3, 3)}, run=run)
    left_out = CheckpointMetadata(architecture="left-out")
    yield Net(
        name="other", state={"d.weight": weights(50, 4, 4, 3, 3), "e.weight": weights(51, 4, 4, 7)}, meta=left_out
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("planted"), nets())


@pytest.fixture(scope="module")
def made(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "healthy"
    subset(parse_recipe(HEALTHY, ""), planted, out=out, progress=False)
    return out


def test_kernels_are_those_that_a_plain_reading_of_the_recipe_gives(planted: Path, made: Path) -> None:
    table = load_layers(
        planted, "kernel in ('3x3', '5x5') and run_final is not false and sparsity <= 0.5 ", ["layer_id"]
    )
    expected: dict[str, list[int]] = {}
    seen: set[bytes] = set()
    layers = sorted(zip(table["layer_id"].to_pylist(), to_tensors(table), strict=True), key=lambda layer: layer[0])
    for layer_id, weight in layers:
        if layer_id.startswith("acme/other"):
            continue
        kernels = weight.flatten(2).flatten(0, 1)
        largest = kernels[kernels.isfinite()].abs().max()
        for place, kernel in enumerate(kernels):
            if not bool(kernel.isfinite().all()) or bool((kernel.abs() < largest / 100).all()):
                continue
            first = kernel[kernel != 0][0]
            key = (kernel / (kernel.abs().max() * first.sign())).numpy().tobytes()
            if key not in seen:
                seen.add(key)
                expected.setdefault(layer_id, []).append(place)
    found = load_subset(planted, made)
    assert {layer.layer_id: layer.places.tolist() for layer in found} == expected
    assert found.n_kernels == sum(map(len, expected.values()))
    by_id = dict(layers)
    for layer in found:
        assert torch.equal(layer.kernels, by_id[layer.layer_id].flatten(0, 1)[layer.places])
        assert layer.kernel_ids()[-1].startswith(f"{layer.layer_id}:{layer.places[-1] // layer.shape[1]}:")


def test_every_layer_and_kernel_is_accounted_for(planted: Path, made: Path) -> None:
    about = json.loads((made / "subset.json").read_text())
    excluded = pq.read_table(made / "excluded.parquet").to_pylist()
    rows = load_subset(planted, made).layers.to_pylist()
    names = {row["layer_id"] for row in rows} | {row["layer_id"] for row in excluded}
    assert names == set(open_dataset(planted).index(["layer_id"])["layer_id"].to_pylist())
    assert len(names) == len(rows) + len(excluded) == about["layers"]["total"]
    assert about["layers"]["excluded"] == Counter(row["reason"] for row in excluded)
    assert {row["layer_id"]: row["reason"] for row in excluded} == {
        "acme/net2#dead.weight": "range_sparsity",
        "acme/net4#stem.weight": "duplicate_layer",
        "acme/run1#c.weight": "not_final",
        "acme/other#d.weight": "where",
        "acme/other#e.weight": "where",
    }
    kernels = about["kernels"]
    assert kernels["kept"] == sum(row["n_kept"] for row in rows)
    assert (
        kernels["total"] == sum(row["n_kernels"] for row in rows) == kernels["kept"] + sum(kernels["excluded"].values())
    )
    assert kernels["excluded"] == {"dead": 18, "duplicate": 6, "nonfinite": 1}


def test_kin_are_in_one_split_and_splits_are_disjoint(planted: Path, made: Path) -> None:
    rows = load_subset(planted, made).layers.to_pylist()
    by_model: dict[str, set[str]] = {}
    for row in rows:
        by_model.setdefault(row["model_id"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_model.values())
    assert by_model["acme/net1"] == by_model["acme/net4"]
    assert {row["kin"] for row in rows if row["model_id"] in ("acme/net4", "acme/run2")} == {"acme/net1", "acme/run1"}
    assert len({row["kin"] for row in rows}) == 6
    parts = [
        load_subset(planted, made, split=name)
        for name in ("train", "validation", "test")
        if (made / f"{name}.parquet").is_file()
    ]
    assert len(parts) > 1
    assert sum(len(part) for part in parts) == len(rows)


def test_a_family_may_count_as_kin(planted: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(f"{HEALTHY}disjoint_by = 'family'", "")
    subset(recipe, planted, out=tmp_path / "out", progress=False)
    rows = load_subset(planted, tmp_path / "out").layers.to_pylist()
    # net1 and net4 share a stem, so both families are one group.
    assert len({row["kin"] for row in rows}) == 2


def test_kernel_dataset_reads_a_subset(planted: Path, made: Path) -> None:
    found = load_subset(planted, made)
    batches = KernelDataset(found, "3x3", batch_size=16, numbers=True)
    kernels, ids = [], []
    for kernel, numbers in batches:  # type: ignore[misc]
        kernels.append(kernel)
        ids += batches.kernel_ids(numbers)
    by_id = {
        name: kernel
        for layer in found.of_size("3x3")
        for name, kernel in zip(layer.kernel_ids(), layer.kernels, strict=True)
    }
    assert sorted(ids) == sorted(by_id)
    assert torch.equal(torch.cat(kernels), torch.stack([by_id[name] for name in ids]))
    assert batches.n_kernels == len(ids)
    with pytest.raises(UsageError, match="no kernels of 9x9"):
        KernelDataset(found, "9x9")
    with pytest.raises(UsageError, match="leave out where"):
        KernelDataset(found, "3x3", where="depthwise")


def test_caps_are_met_and_picked_by_the_seed(planted: Path, tmp_path: Path) -> None:
    base = "name = 'capped'\n[caps]\nmodels_per_family = 2\nlayers_per_model = 1\nkernels_per_layer = 7\n"

    def rows(text: str) -> list[dict[str, Any]]:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        subset(parse_recipe(text, ""), planted, out=out, progress=False)
        return load_subset(planted, out).layers.to_pylist()

    found = rows(base)
    families = dict(zip(*open_dataset(planted).index(["model_id", "family"]).to_pydict().values(), strict=True))
    assert Counter(families[row["model_id"]] for row in found) == {"even": 2, "odd": 2, None: 3}
    assert {row["n_kept"] for row in found} == {7}
    assert rows(f"seed = 1\n{base}") != found
    model = rows("name = 'capped'\n[caps]\nkernels_per_model = 5\n")
    kept = Counter[str]()
    for row in model:
        kept[row["model_id"]] += row["n_kept"]
    assert set(kept.values()) == {5}
    assert len(kept) == 9


def test_a_subset_in_its_dataset_is_a_config(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = copy(planted, tmp_path)
    report = subset(parse_recipe(HEALTHY, ""), dataset, progress=False)
    assert report.folder == dataset / FOLDER / report.folder.name  # type: ignore[union-attr]
    assert report.changed
    assert list(verify_folder(dataset)) == []
    found = load_subset(dataset, "healthy")
    assert "subset-healthy" in open_dataset(dataset).configs
    line = next(line for line in (dataset / "README.md").read_text("utf-8").splitlines() if "`subset-healthy`" in line)
    assert line.replace("&#124;", "").count("|") == 5
    assert "<b>" not in line
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = datasets.load_dataset(str(dataset), "subset-healthy")
    assert {name: len(rows) for name, rows in loaded.items()} == {
        name: counts["layers"] for name, counts in report.about["splits"].items()
    }
    row = loaded["train"][0]
    mask = np.unpackbits(np.frombuffer(row["kept"], np.uint8), count=row["n_kernels"], bitorder="little")
    (own,) = (layer for layer in found if layer.layer_id == row["layer_id"])
    assert np.flatnonzero(mask).tolist() == own.places.tolist()
    again = subset(report.folder / "subset.json", dataset, progress=False)  # type: ignore[operator]
    assert not again.changed
    assert again.about == report.about


def test_weights_may_be_written_too(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "healthy"
    recipe = parse_recipe(HEALTHY, "")
    with pytest.raises(UsageError, match="name it by --out"):
        subset(recipe, planted, materialize=True, progress=False)
    report = subset(recipe, planted, out=out, materialize=True, progress=False)
    assert not subset(recipe, planted, out=out, materialize=True, progress=False).changed
    assert "weights/train.parquet" in report.paths
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = datasets.load_dataset(str(out))
    assert list(loaded) == list(report.about["splits"])
    for split, rows in loaded.items():
        by_id = {row["layer_id"]: row for row in rows}
        for layer in load_subset(planted, out, split=split):
            row = by_id.pop(layer.layer_id)
            assert row["places"] == layer.places.tolist()
            assert torch.equal(torch.tensor(row["weight"]).view(row["shape"]), layer.kernels)
        assert not by_id


def test_shipped_recipes_select_what_they_say(tmp_path: Path) -> None:
    """First layers are known where the graph is; here it is not, so that recipe selects nothing."""
    about = {
        "one": CheckpointMetadata(training_datasets=("imagenet-1k",), license="mit"),
        "two": CheckpointMetadata(training_datasets=("imagenet-22k", "imagenet-1k"), license="cc-by-nc-4.0"),
        "both": CheckpointMetadata(training_datasets=("imagenet-1k", "laion-2b"), license="apache-2.0"),
        "none": CheckpointMetadata(),
    }
    state = {name: {"a.weight": weights(number, 8, 8, 3, 3)} for number, name in enumerate(about)}
    dataset = plant(tmp_path, [Net(name=name, state=state[name], meta=meta) for name, meta in about.items()])

    def selected(recipe: str) -> set[str]:
        out = tmp_path / recipe
        subset(recipe, dataset, out=out, progress=False)
        return {row["model_id"].removeprefix("acme/") for row in load_subset(dataset, out).layers.to_pylist()}

    assert selected("healthy-3x3") == {"one", "two", "both", "none"}
    assert selected("imagenet-only") == {"one", "two"}
    assert selected("redistributable") == {"one", "both"}
    with pytest.raises(UsageError, match="layers excluded by: where 4"):
        selected("first-layers")


def test_versions_of_a_name_are_told_apart(planted: Path, tmp_path: Path) -> None:
    dataset = copy(planted, tmp_path)
    for version, least in ((1, 1), (2, 30)):
        text = f"name = 'mine'\nversion = {version}\n[layers]\nmin_kernels = {least}"
        report = subset(parse_recipe(text, ""), dataset, progress=False)
    assert len(load_subset(dataset, "mine")) == report.about["layers"]["kept"]
    (older,) = (path.name for path in (dataset / FOLDER).iterdir() if path != report.folder)
    configs = [name for name in open_dataset(dataset).configs if name.startswith("subset-")]
    assert configs == ["subset-mine", f"subset-{older}"]
    assert len(load_subset(dataset, older)) > len(load_subset(dataset, "mine"))
    assert load_subset(dataset, report.folder.name).layers == load_subset(dataset, "mine").layers  # type: ignore[union-attr]


def test_a_copy_by_another_name_is_no_subset(planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By the name of the other recipe, its config would take the place of that recipe's own."""
    dataset = copy(planted, tmp_path)
    versions = [parse_recipe(f"name = 'mine'\nversion = {version}", "") for version in (1, 2)]
    first = subset(versions[0], dataset, progress=False).folder
    assert first is not None
    shutil.copytree(first, dataset / FOLDER / "mine")
    latest = subset(versions[1], dataset, progress=False).folder
    assert latest is not None
    assert "subsets/mine: is not named after its recipe" in caplog.text
    configs = [name for name in open_dataset(dataset).configs if name.startswith("subset-")]
    assert configs == ["subset-mine", f"subset-{first.name}"]
    assert load_subset(dataset, "mine").info["version"] == 2
    assert list(verify_folder(dataset)) == []


def test_a_subset_that_no_longer_fits_is_moved_away(
    planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = copy(planted, tmp_path)
    kept = subset(parse_recipe("name = 'two'\nwhere = \"model_id = 'acme/net2'\"", ""), dataset, progress=False).folder
    gone = subset(parse_recipe(HEALTHY, ""), dataset, progress=False).folder
    assert kept is not None
    assert gone is not None
    with Catalog(dataset) as catalog:
        with catalog.transaction():
            catalog.drop_content("acme/net3")
        export_if_needed(dataset, catalog)
    assert kept.is_dir()
    assert not gone.exists()
    assert (dataset / OUTDATED / gone.name / "subset.json").is_file()
    assert "the dataset does not have acme/net3#a.weight as it was" in caplog.text
    assert [name for name in open_dataset(dataset).configs if name.startswith("subset-")] == ["subset-two"]
    assert not any(issue.where.startswith(FOLDER) for issue in verify_folder(dataset))


def test_one_thing_is_no_things(planted: Path) -> None:
    recipe = parse_recipe("name = 'one'\nwhere = \"model_id = 'acme/run1'\"\n[caps]\nkernels_per_layer = 1", "")
    report = subset(recipe, planted, dry_run=True, progress=False)
    assert "train      1 model, 1 kin group, 1 layer, 1 kernel\n" in str(report)


def test_a_folder_of_any_name_is_read(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "Out_full.1"
    subset(parse_recipe(HEALTHY, ""), planted, out=out, progress=False)
    assert load_subset(planted, out).n_kernels > 0


def test_a_condition_may_name_the_id_of_the_model_in_both_tables(planted: Path) -> None:
    recipe = parse_recipe("name = 'all'\nwhere = 'models.model_id = model_id'", "")
    layers = subset(recipe, planted, dry_run=True, progress=False).about["layers"]
    assert layers["kept"] == layers["total"]


def test_a_folder_is_compared_with_the_dataset(planted: Path, made: Path, tmp_path: Path) -> None:
    changed = copy(planted, tmp_path)
    with Catalog(changed) as catalog:
        with catalog.transaction():
            catalog.drop_content("acme/net3")
        export_if_needed(changed, catalog)
    with pytest.raises(UsageError, match=r"has acme/net3#\S+ not as it was; make the subset again"):
        load_subset(changed, made)
    other = plant(tmp_path / "other", [Net(name="one", state={"a.weight": weights(1, 4, 4, 3, 3)})])
    with pytest.raises(UsageError, match=r"is a subset of the dataset [0-9a-f]+, and .*other.* is the dataset"):
        load_subset(other, made)


def test_a_damaged_manifest_is_named(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subset(parse_recipe("name = 'few'\n[caps]\nkernels_per_layer = 3", ""), planted, out=out, progress=False)
    table = pq.read_table(out / "train.parquet")
    short = pa.array([bits[:1] for bits in table["kept"].to_pylist()], pa.binary())
    place = table.column_names.index("kept")
    pq.write_table(table.set_column(place, "kept", short), out / "train.parquet")
    found = load_subset(planted, out)
    with pytest.raises(DatasetError, match="has 8 bits for 32 kernels; make the subset again"):
        list(found)
    with pytest.raises(DatasetError, match="has 8 bits for"):
        list(KernelDataset(found, "3x3"))
    many = pa.array([n + 800 for n in table["n_kernels"].to_pylist()], pa.int64())
    longer = pa.array([bits + bytes([255] * 100) for bits in table["kept"].to_pylist()], pa.binary())
    changed = table.set_column(place, "kept", longer)
    changed = changed.set_column(table.column_names.index("n_kernels"), "n_kernels", many)
    pq.write_table(changed, out / "train.parquet")
    assert sum(len(layer.kernels) for layer in load_subset(planted, out)) == sum(table["n_kept"].to_pylist())


@pytest.mark.parametrize("inside", ["data/mine", "subsets/mine", "mine", "."])
def test_a_folder_in_the_dataset_is_refused(planted: Path, inside: str) -> None:
    before = sorted(planted.rglob("*"))
    with pytest.raises(UsageError, match="is in the dataset"):
        subset("healthy-3x3", planted, out=planted / inside, progress=False)
    assert sorted(planted.rglob("*")) == before


def test_the_folder_of_another_subset_is_replaced_by_force_only(planted: Path, tmp_path: Path) -> None:
    one, two = (parse_recipe(f"name = '{name}'", "") for name in ("one", "two"))
    out = tmp_path / "out"
    subset(one, planted, out=out, progress=False)
    assert not subset(one, planted, out=out, progress=False).changed
    with pytest.raises(PolicyError, match="is the folder of another subset, one; --force replaces it"):
        subset(two, planted, out=out, progress=False)
    assert load_subset(planted, out).info["name"] == "one"
    assert subset(two, planted, out=out, force=True, progress=False).changed
    assert load_subset(planted, out).info["name"] == "two"


def test_weights_are_not_lost_but_by_force(planted: Path, tmp_path: Path) -> None:
    recipe, out = parse_recipe("name = 'one'", ""), tmp_path / "out"
    subset(recipe, planted, out=out, progress=False)
    assert subset(recipe, planted, out=out, materialize=True, progress=False).changed
    with pytest.raises(PolicyError, match="has weights; --materialize writes them again"):
        subset(recipe, planted, out=out, progress=False)
    assert (out / "weights/train.parquet").is_file()
    assert subset(recipe, planted, out=out, force=True, progress=False).changed
    assert not (out / "weights").exists()


def test_what_cannot_be_made_or_found_is_a_usage_error(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layers excluded by: where 19"):
        subset(parse_recipe("name = 'none'\nwhere = 'false'", ""), planted, dry_run=True, progress=False)
    deep = "name = 'deep'\nwhere = 'taps > 1 and models.num_params > 1e15'\n[layers]\nrange.conv_depth = {min = 2}"
    with pytest.raises(UsageError, match=r"; unknown of every layer: conv_depth$"):
        subset(parse_recipe(deep, ""), planted, dry_run=True, progress=False)
    unlicensed = plant(tmp_path / "unlicensed", [Net(name="one", state={"a.weight": weights(1, 4, 4, 3, 3)})])
    with pytest.raises(UsageError, match=r"not_redistributable 1; unknown of every layer: redistributable$"):
        subset("redistributable", unlicensed, dry_run=True, progress=False)
    with pytest.raises(UsageError, match="no file and no recipe is named 'healty-3x3'; did you mean 'healthy-3x3'"):
        subset("healty-3x3", planted, dry_run=True, progress=False)
    with pytest.raises(UsageError, match="is a folder; name a TOML file"):
        subset(planted, planted, dry_run=True, progress=False)
    with pytest.raises(UsageError, match="there is no subset 'healthy'"):
        load_subset(planted, "healthy")
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="is not the folder of a subset"):
        subset("healthy-3x3", planted, out=tmp_path / "mine", progress=False)


def copy(dataset: Path, folder: Path) -> Path:
    return Path(shutil.copytree(dataset, folder / "dataset"))
