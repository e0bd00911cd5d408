"""Networks of a dataset as token sequences, and their export for SANE's training."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import filtercrawl
from filtercrawl.api.errors import PolicyError, UsageError
from filtercrawl.api.plugin_manager import load_plugins
from filtercrawl.cli.app import build
from filtercrawl_publish.export.fanns import write_benchmark
from filtercrawl_publish.export.tokens import TokenOptions, write_tokens
from support.loading_dataset import loading_dataset
from support.plugins import BUNDLED

MODELS = {"timm/convnext_tiny.fb_in22k", "timm/convnext_tiny.fb_in22k_ft_in1k", "timm/resnet18.a1_in1k",
          "timm/unet.carvana"}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loading_dataset(tmp_path_factory.mktemp("tokens"))


def stored_weights(dataset: Path, model: str) -> list[torch.Tensor]:
    """The weights of a network in the order of its convolutions."""
    table = filtercrawl.load_layers(dataset, f"model_id = '{model}'", ["conv_depth"])
    depths = table["conv_depth"].to_pylist()
    weights = filtercrawl.to_tensors(table)
    return [weights[row] for row in sorted(range(len(depths)), key=depths.__getitem__)]


def test_each_network_is_a_sequence_of_its_layers_by_depth(dataset: Path) -> None:
    networks = filtercrawl.TokenDataset(dataset, token_size=48)
    assert set(networks.models) == MODELS
    seen = {network.model_id: network for network in networks}
    assert set(seen) == MODELS
    for model, network in seen.items():
        weights = stored_weights(dataset, model)
        back = filtercrawl.detokenize(network.sequence.tokens, network.shapes)
        assert [weight.shape for weight in weights] == [piece.shape for piece in back]
        assert all(torch.equal(a, b) for a, b in zip(weights, back, strict=True))
        assert network.layers == tuple(f"{model}#{place}.weight" for place in range(3))
    unet = seen["timm/unet.carvana"].labels
    assert (unet["task"], unet["training_datasets"], unet["architecture"]) == (
        "image-segmentation",
        ["carvana"],
        "unet",
    )
    assert (unet["tensors_emitted"], unet["tensors_skipped"]) == (3, 8)  # biases and a normalization


def test_kin_are_in_one_split(dataset: Path) -> None:
    splits = {}
    for split in ("train", "validation", "test"):
        with suppress(UsageError):  # a split may have no networks
            splits[split] = set(filtercrawl.TokenDataset(dataset, split=split).models)
    assert set.union(*splits.values()) == MODELS
    assert sum(map(len, splits.values())) == 4


def test_order_depends_on_seed_and_epoch_and_workers_share_the_models(dataset: Path) -> None:
    def order(seed: int, epoch: int) -> list[str]:
        networks = filtercrawl.TokenDataset(dataset, seed=seed)
        networks.set_epoch(epoch)
        return [network.model_id for network in networks]

    orders = {tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) > 3
    assert order(1, 2) == order(1, 2)
    networks = filtercrawl.TokenDataset(dataset, window=10)
    loaded = list(DataLoader(networks, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    assert {part.model_id for part in loaded} == MODELS
    assert max(len(part.sequence) for part in loaded) == 10
    whole = sum(len(network.sequence) for network in filtercrawl.TokenDataset(dataset))
    assert sum(len(part.sequence) for part in loaded) == whole


def test_conditions_choose_layers(dataset: Path) -> None:
    (network,) = filtercrawl.TokenDataset(dataset, where="kernel = '7x7' and model_id = 'timm/convnext_tiny.fb_in22k'")
    assert network.shapes == ((16, 1, 7, 7),)


def test_models_without_a_layer_in_the_view_are_left_out(dataset: Path) -> None:
    networks = filtercrawl.TokenDataset(dataset, view="depthwise")
    assert set(networks.models) == {model for model in MODELS if "convnext" in model}
    assert [network.shapes for network in networks] == [((16, 1, 7, 7),)] * len(networks)


def test_windows_have_no_number_and_networks_have(dataset: Path) -> None:
    assert len(DataLoader(filtercrawl.TokenDataset(dataset), batch_size=None)) == len(MODELS)
    with pytest.raises(TypeError, match="the number of windows is not known"):
        len(DataLoader(filtercrawl.TokenDataset(dataset, window=10), batch_size=None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "split: 'val' is not one of train, validation, test"),
        ({"where": "kernel = '9x9'"}, "no models where kernel = '9x9'"),
        ({"window": 0}, "window=0"),
        ({"view": "downsampling", "where": "depthwise"}, "no models with layers of the view downsampling where depthw"),
        ({"where": "nothing ="}, "where"),
    ],
)
def test_wrong_arguments_are_named(dataset: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        filtercrawl.TokenDataset(dataset, **arguments)  # type: ignore[arg-type]


def test_export_is_read_back_and_the_same_bytes_again(dataset: Path, tmp_path: Path) -> None:
    options = TokenOptions(token_size=48)
    report = write_tokens(dataset, tmp_path / "one", options)
    write_tokens(dataset, tmp_path / "two", options)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 4 + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    index = pd.read_parquet(tmp_path / "one/index.parquet")
    assert set(index["model_id"]) == MODELS
    assert index["tokens"].sum() == report.tokens
    assert index.groupby("kin")["split"].nunique().max() == 1
    for row in index.itertuples():
        content = torch.load(tmp_path / "one" / str(row.file), weights_only=True)
        assert set(content) == {"w", "m", "p", "props"}
        shapes = [layer["shape"].tolist() for layer in row.layers]
        back = filtercrawl.detokenize(content["w"], shapes)
        weights = stored_weights(dataset, str(row.model_id))
        assert all(torch.equal(a, b) for a, b in zip(weights, back, strict=True))
        for number, layer in enumerate(row.layers):
            part = content["p"][layer["start"] : layer["start"] + layer["tokens"], 1]
            assert set(part.tolist()) == {number}
        assert content["props"]["model_id"] == row.model_id
    assert f"{report.tokens:,} tokens of 48 numbers" in (tmp_path / "one/README.md").read_text("utf-8")


def test_a_folder_that_exists_stays_unless_forced(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(PolicyError, match="--force replaces it"):
        write_tokens(dataset, tmp_path / "out")
    assert (tmp_path / "out/mine").exists()
    with pytest.raises(UsageError, match="no models"):
        write_tokens(dataset, tmp_path / "out", TokenOptions(where="kernel = '9x9'"), replace=True)
    assert (tmp_path / "out/mine").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("place", [".", "..", "tokens", "data/layers"])
def test_the_dataset_that_is_read_is_not_replaced(dataset: Path, place: str) -> None:
    before = sorted(dataset.rglob("*"))
    with pytest.raises(UsageError, match="name a folder beside the dataset"):
        write_tokens(dataset, dataset / place, replace=True)
    with pytest.raises(UsageError, match="name a folder beside the dataset"):
        write_benchmark(dataset, dataset / place, replace=True)
    assert sorted(dataset.rglob("*")) == before


def test_command_prints_what_it_wrote(dataset: Path, tmp_path: Path) -> None:
    app = build(load_plugins(BUNDLED))
    done = CliRunner().invoke(app, ["export", "tokens", str(tmp_path / "out"), "--dataset", str(dataset), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert sum(found["models"].values()) == 4
    assert found["layers"] == 12
