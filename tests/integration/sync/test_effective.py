"""Effective weights from a checkpoint's file to the dataset: as torch computes them, kept, renewed and withheld."""

from __future__ import annotations

import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import filtercrawl
from conftest import Sync
from filtercrawl.api.errors import UsageError
from filtercrawl.config.license_policy import LicensePolicy
from filtercrawl.dataset.catalog import Catalog
from filtercrawl.dataset.files.dataset_folder import DatasetFolder
from filtercrawl.dataset.schema.arrow import EFFECTIVE
from filtercrawl.load import load_layers, to_tensors
from filtercrawl_publish.publishing.staging import clear_pending, stage_version
from filtercrawl_publish.verification import verify_folder
from support.zoo_files import models, published, put, table

MODEL = "local/net.safetensors"


class Net(nn.Module):
    """Convolutions whose normalizations are told by names, one that has none, and one that is normalized itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.features = nn.Sequential(nn.Conv2d(8, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3))
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3))


def network(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    net = Net().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                values.data.uniform_(0.1, 2)
    return net


def weights(dataset: Path, view: str = "effective") -> dict[str, torch.Tensor]:
    found = load_layers(dataset, view=view)
    return dict(zip(found["layer"].to_pylist(), to_tensors(found), strict=True))


def rows(dataset: Path) -> list[dict[str, Any]]:
    return list(DatasetFolder(dataset).rows("effective"))


def fused(conv: nn.Module, bn: nn.Module) -> torch.Tensor:
    assert isinstance(conv, nn.Conv2d)
    return fuse_conv_bn_eval(deepcopy(conv).double(), deepcopy(bn).double()).weight.detach().float()


@pytest.fixture
def net(zoo: Path, run_sync: Sync) -> Net:
    made = network()
    put(zoo / "net.safetensors", made.state_dict())
    run_sync()
    return made


def test_weights_are_those_that_torch_convolves_with(net: Net, dataset: Path) -> None:
    found, raw = weights(dataset), weights(dataset, "raw")
    torch.testing.assert_close(found["normed"], net.normed.weight.detach(), rtol=1e-6, atol=1e-7)
    assert torch.equal(found["features.3"], raw["features.3"])
    assert torch.equal(raw["conv1"], net.conv1.weight)
    for layer, conv, bn in (("conv1", net.conv1, net.bn1), ("features.0", net.features[0], net.features[1])):
        torch.testing.assert_close(found[layer], fused(conv, bn), rtol=1e-6, atol=0)
    steps = {row["layer_id"]: (row["steps"], row["eps_assumed"]) for row in rows(dataset)}
    assert steps == {
        f"{MODEL}#conv1.weight": (["batch_norm"], True),
        f"{MODEL}#features.0.weight": (["batch_norm"], True),
        f"{MODEL}#normed.parametrizations.weight.original1": (["weight_norm"], False),
    }
    folded = {row["layer"]: row["bn_folded"] for row in table(dataset, "index")}
    assert folded == {"conv1": False, "features.0": False, "features.3": None, "normed": None}
    assert list(verify_folder(dataset)) == []


def test_datasets_reads_the_config(net: Net, dataset: Path, tmp_path: Path) -> None:
    found = datasets.load_dataset(str(dataset), "effective", split="train", cache_dir=str(tmp_path / "cache"))
    assert found.features == datasets.Features.from_arrow_schema(EFFECTIVE)
    (row,) = (row for row in found if row["norm"] == "bn1")
    np.testing.assert_array_equal(np.float32(row["norm_variance"]), net.bn1.running_var)


@pytest.mark.usefixtures("net")
def test_a_rebuilt_catalog_has_them(dataset: Path, run_sync: Sync) -> None:
    before = {path.name: path.read_bytes() for path in (dataset / "data/effective").iterdir()}
    index = table(dataset, "index")
    run_sync(rebuild=True)
    shutil.rmtree(dataset / ".filtercrawl")
    run_sync()
    shutil.rmtree(dataset / "data/effective")
    with Catalog(dataset) as catalog:
        catalog.set_meta("stale", "1")
    run_sync()
    assert {path.name: path.read_bytes() for path in (dataset / "data/effective").iterdir()} == before
    assert table(dataset, "index") == index


@pytest.mark.usefixtures("net")
def test_a_checkpoint_that_changes_or_goes_takes_them_along(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    before = {row["layer_id"]: row["effective_sha256"] for row in rows(dataset)}
    state = network().state_dict()
    state["bn1.weight"] = state["bn1.weight"] * 2  # the layers are the same
    put(zoo / "net.safetensors", state)
    run_sync()
    after = {row["layer_id"]: row["effective_sha256"] for row in rows(dataset)}
    assert {name for name in before if before[name] != after[name]} == {f"{MODEL}#conv1.weight"}
    assert list(verify_folder(dataset)) == []
    (zoo / "net.safetensors").unlink()
    put(zoo / "plain.safetensors", {"a.weight": torch.randn(4, 2, 3, 3)})
    run_sync(prune=True)
    assert rows(dataset) == []
    assert not (dataset / "data/effective/part.parquet").exists()
    assert "config_name: effective" not in (dataset / "README.md").read_text("utf-8")


@pytest.mark.usefixtures("net")
def test_a_duplicate_has_them_under_its_own_name(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    shutil.copy(zoo / "net.safetensors", zoo / "twin.safetensors")
    run_sync()
    assert models(dataset)["local/twin.safetensors"]["outcome"] == "duplicate"
    by_model: dict[str, dict[str, str]] = {}
    for row in rows(dataset):
        by_model.setdefault(row["model_id"], {})[row["layer_id"].partition("#")[2]] = row["effective_sha256"]
    assert by_model.pop(MODEL) == by_model.pop("local/twin.safetensors")
    assert by_model == {}
    assert list(verify_folder(dataset)) == []
    twin = "model_id = 'local/twin.safetensors'"
    found = load_layers(dataset, twin, ["layer"], view="effective")
    expected = weights(dataset)
    assert {name: w.tolist() for name, w in zip(found["layer"].to_pylist(), to_tensors(found), strict=True)} == {
        name: w.tolist() for name, w in expected.items()
    }
    (zoo / "net.safetensors").unlink()
    run_sync(prune=True)
    assert {row["model_id"] for row in rows(dataset)} == {"local/twin.safetensors"}
    assert {name: w.tolist() for name, w in weights(dataset).items()} == {n: w.tolist() for n, w in expected.items()}


def test_checkpoints_of_the_same_layers_and_other_normalizations(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    one, two = network(), network()
    two.bn1.weight.data.mul_(3)
    put(zoo / "one.safetensors", one.state_dict())
    put(zoo / "two.safetensors", two.state_dict())
    run_sync()
    assert {row["outcome"] for row in models(dataset).values()} == {"emitted"}
    found = load_layers(dataset, "layer = 'conv1'", ["model_id"], view="effective")
    assert found["model_id"].to_pylist() == ["local/one.safetensors", "local/two.safetensors"]
    for weight, of in zip(to_tensors(found), (one, two), strict=True):
        torch.testing.assert_close(weight, fused(of.conv1, of.bn1), rtol=1e-6, atol=0)
    # Other layers have one effective weight, which is returned once.
    assert load_layers(dataset, "layer != 'conv1'", ["model_id"], view="effective").num_rows == 3


class Block(nn.Module):
    """A block of RepVGG (Ding et al. 2021, arXiv 2101.03697) under the names of its authors."""

    def __init__(self) -> None:
        super().__init__()
        self.rbr_identity = nn.BatchNorm2d(6)
        self.rbr_dense = nn.Sequential()
        self.rbr_dense.add_module("conv", nn.Conv2d(6, 6, 3, padding=1, bias=False))
        self.rbr_dense.add_module("bn", nn.BatchNorm2d(6))
        self.rbr_1x1 = nn.Sequential()
        self.rbr_1x1.add_module("conv", nn.Conv2d(6, 6, 1, bias=False))
        self.rbr_1x1.add_module("bn", nn.BatchNorm2d(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole: torch.Tensor = self.rbr_dense(x) + self.rbr_1x1(x) + self.rbr_identity(x)
        return whole


def test_branches_are_one_kernel(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    torch.manual_seed(3)
    block = nn.Sequential(Block()).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                values.data.uniform_(0.1, 2)
    put(zoo / "net.safetensors", block.state_dict())
    run_sync()
    found = load_layers(dataset, view="effective")
    assert found["layer"].to_pylist() == ["0.rbr_dense.conv"]
    assert found["effective_steps"].to_pylist() == [["branches"]]
    (row,) = rows(dataset)
    (weight,) = to_tensors(found)
    double = block.double()
    x = torch.randn(2, 6, 9, 9, dtype=torch.float64)
    ours = nn.functional.conv2d(x, weight.double(), torch.tensor(row["bias"], dtype=torch.float64), padding=1)
    torch.testing.assert_close(ours, double(x), rtol=1e-5, atol=1e-6)
    told = {tensor["tensor"]: tensor for tensor in filtercrawl.inspect(zoo / "net.safetensors").tensors}
    assert told["0.rbr_dense.conv.weight"]["effective_steps"] == ["branches"]
    assert told["0.rbr_1x1.conv.weight"]["merged_into"] == "0.rbr_dense.conv.weight"
    assert told["0.rbr_identity.weight"]["merged_into"] is None


def test_inspect_says_what_is_done_to_a_weight(net: Net, zoo: Path) -> None:
    page = str(filtercrawl.inspect(zoo / "net.safetensors"))
    assert re.search(r"conv1\.weight .* emitted as conv2d 3x3; effective: batch_norm$", page, re.MULTILINE)
    assert re.search(r"original1 .* emitted as conv2d 3x3; effective: weight_norm$", page, re.MULTILINE)
    assert re.search(r"features\.3\.weight .* emitted as conv2d 3x3$", page, re.MULTILINE)


@pytest.mark.usefixtures("net")
def test_the_page_of_analyses_says_which_weights_it_shows(dataset: Path) -> None:
    report = filtercrawl.analyze(dataset, view="effective", only=["census", "degeneracy"], progress=False)
    assert report.left_out == {}
    assert report.results["options"]["view"] == "effective"
    page = report.page.read_text("utf-8")
    assert "Weights are those that the networks convolve with" in page
    assert "they differ in 3 of 4 (75%) layers" in page
    assert list(verify_folder(dataset)) == []
    raw = filtercrawl.analyze(dataset, only=["census"], progress=False)
    assert "convolve with" not in raw.page.read_text("utf-8")
    with pytest.raises(UsageError, match="view: 'folded' is none of raw, effective"):
        filtercrawl.analyze(dataset, view="folded")  # type: ignore[arg-type]


def test_what_a_version_adds_is_in_a_file_of_its_own(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "b.safetensors", network(1).state_dict())
    run_sync()
    stage_version(dataset, "v1")
    clear_pending(dataset)
    first = (dataset / "data/effective/part.parquet").read_bytes()
    put(zoo / "a.safetensors", network(2).state_dict())
    put(zoo / "c.safetensors", network(1).state_dict())  # a duplicate
    run_sync()
    stage_version(dataset, "v2")
    clear_pending(dataset)
    files = {path.name: path.read_bytes() for path in (dataset / "data/effective").iterdir()}
    assert files.keys() == {"part.parquet", "part--v2.parquet"}
    assert files["part.parquet"] == first
    assert {row["model_id"] for row in rows(dataset)} == {f"local/{name}.safetensors" for name in "bac"}
    assert list(verify_folder(dataset)) == []
    before = published(dataset)
    run_sync(rebuild=True)
    assert published(dataset) == before


def test_weights_that_a_license_withholds_are_not_in_the_table(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", network().state_dict())
    (zoo / "metadata.csv").write_text("file_name,license\nnet.safetensors,CC-BY-NC-4.0\n")
    run_sync(license_policy=LicensePolicy(metadata=("CC-BY-NC-4.0",)))
    index = table(dataset, "index")
    assert {row["file"] for row in index} == {None}
    assert rows(dataset) == []
    assert {row["effective_sha256"] for row in index} == {None}
    assert list(verify_folder(dataset)) == []
