"""Runs and steps that the source `local` finds in the names of files and folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from conftest import NOW, Sync
from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.source import Query
from filtercrawl_analysis.data.selection import select_layers
from filtercrawl_plugins.sources.local.source import LocalSource
from support.zoo_files import models, put, state

Found = tuple[str | None, int | None]


class NoNetwork:
    def get_json(self, url: str) -> object:
        raise AssertionError(url)

    def pages(self, url: str) -> Iterator[object]:
        raise AssertionError(url)


def runs(folder: Path, *names: str, pattern: str = "") -> dict[str, Found]:
    """The (run id, step) that the source states of each file that has some."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    offers = LocalSource().checkpoints(NoNetwork(), Query(pattern=pattern or str(folder)))
    return {
        offer.name: (offer.run.id, offer.run.step)
        for offer in offers
        if isinstance(offer, Checkpoint) and offer.run is not None
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_step_folders(out: Path) -> None:
    found = runs(
        out,
        "a/checkpoint-500/model.safetensors",
        "a/checkpoint-1500/model.safetensors",  # sorts first, as text
        "a/checkpoint-1500/optimizer.pt",
        "a/checkpoint-2000/trainer_state.json",  # interrupted before the weights were written
        "a/checkpoint-2000/rng_state_0.pth",
        "a/model.safetensors",
        "b/checkpoint-20/unet/diffusion_pytorch_model.safetensors",
        "b/checkpoint-20/unet_ema/model.safetensors.index.json",
    )
    assert found == {
        "a/checkpoint-500/model.safetensors": ("a", 500),
        "a/checkpoint-1500/model.safetensors": ("a", 1500),
        "b/checkpoint-20/unet/diffusion_pytorch_model.safetensors": ("b", 20),
        "b/checkpoint-20/unet_ema/model.safetensors.index.json": ("b", 20),
    }


def test_files_of_lightning_and_timm(out: Path) -> None:
    assert runs(
        out,
        "v0/epoch=3-step=400.ckpt",
        "v0/epoch=4-step=500.ckpt",
        "v0/last.ckpt",
        "v1/net-epoch=03-step=400-val_loss=0.21.ckpt",
        "v1/other-epoch=03-step=300-val_loss=0.3.ckpt",
        "timm/checkpoint-9.pth.tar",
        "timm/checkpoint-12.pth.tar",
        "timm/model_best.pth.tar",
        "mae/checkpoint-799.pth",
    ) == {
        "v0/epoch=3-step=400.ckpt": ("v0", 400),
        "v0/epoch=4-step=500.ckpt": ("v0", 500),
        "v1/net-epoch=03-step=400-val_loss=0.21.ckpt": ("v1/net", 400),
        "v1/other-epoch=03-step=300-val_loss=0.3.ckpt": ("v1/other", 300),
        "timm/checkpoint-9.pth.tar": ("timm", 9),
        "timm/checkpoint-12.pth.tar": ("timm", 12),
        "mae/checkpoint-799.pth": ("mae", 799),
    }


def test_a_folder_of_lightning_with_a_second_version_may_have_several_runs(out: Path) -> None:
    found = runs(out, "epoch=3-step=400.ckpt", "epoch=3-step=400-v1.ckpt", "epoch=9-step=1000.ckpt")
    assert found == {
        "epoch=3-step=400.ckpt": (None, 400),
        "epoch=3-step=400-v1.ckpt": (None, 400),
        "epoch=9-step=1000.ckpt": (None, 1000),
    }


@pytest.mark.parametrize("known", [True, False])
def test_folders_of_ray_have_the_iteration_that_their_results_state(out: Path, known: bool) -> None:
    trial = out / "exp/trial_0"
    trial.mkdir(parents=True)
    results = [{"training_iteration": 10 * (i + 1), "checkpoint_dir_name": f"checkpoint_{i:06d}"} for i in range(3)]
    lines = [json.dumps(result) for result in results[: 3 if known else 2]]
    (trial / "result.json").write_text("\n".join([*lines, "[1]", '{"training_iter', ""]))
    found = runs(out, *(f"exp/trial_0/checkpoint_{i:06d}/model.pt" for i in range(3)), "checkpoint_000001/model.pt")
    assert found == {
        f"exp/trial_0/checkpoint_{i:06d}/model.pt": (
            "exp/trial_0",
            10 * (i + 1) if known or i < 2 else None,
        )
        for i in range(3)
    }


@pytest.mark.parametrize(
    "name",
    ["checkpoint/model.pt", "checkpoint-best/model.pt", "my-checkpoint-5/model.pt", "checkpoint-5.txt", "step=4.txt",
     "checkpoint-٣/model.pt", f"checkpoint-{10**18}/model.pt", "epoch=3.ckpt", "val_step=3-loss=4.ckpt"],
)  # fmt: skip
def test_other_names_state_no_run(name: str, out: Path) -> None:
    assert runs(out, name) == {}


def test_a_run_whose_folder_is_not_listed_has_no_id(out: Path) -> None:
    runs(out, "checkpoint-5/model.pt", "checkpoint-9/model.pt")
    assert runs(out, pattern=str(out / "checkpoint-5")) == {"model.pt": (None, 5)}
    assert runs(out, pattern=str(out / "checkpoint-5/model.pt")) == {"model.pt": (None, 5)}
    assert runs(out, pattern=f"{out} as=lab/x")["lab/x/checkpoint-9/model.pt"] == ("lab/x", 9)


def test_metadata_overrules_names(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for number, (run, step) in enumerate((run, step) for run in "ab" for step in (5, 9)):
        put(zoo / f"{run}/checkpoint-{step}/model.safetensors", state(number))
    (zoo / "metadata.csv").write_text("file_name,run_final,seed\na/checkpoint-5/*,true,\nb/*/*,,7\n")
    run_sync()
    rows = models(dataset).values()
    assert [(row["run_id"], row["step"], row["run_final"], row["seed"]) for row in rows] == [
        ("a", 5, True, None),
        ("a", 9, False, None),
        ("b", 5, False, 7),
        ("b", 9, True, 7),
    ]
    (zoo / "metadata.csv").write_text("file_name,seed\nb/*/*,7\n")
    run_sync(now=NOW + timedelta(days=1))
    assert [row["run_final"] for row in models(dataset).values()] == [False, True, False, True]


def final(dataset: Path) -> dict[int, bool | None]:
    return {row["step"]: row["run_final"] for row in models(dataset).values()}


@pytest.mark.parametrize("rotated", [False, True])
def test_run_final_follows_when_a_later_step_appears(rotated: bool, zoo: Path, dataset: Path, run_sync: Sync) -> None:
    first = put(zoo / "r/checkpoint-5/model.safetensors", state())
    run_sync()
    assert final(dataset) == {5: True}
    put(zoo / "r/checkpoint-9/model.safetensors", state(1))
    if rotated:  # trainers delete all but the last steps
        first.unlink()
    run_sync(now=NOW + timedelta(days=1))
    assert final(dataset) == {5: False, 9: True}
    index = pq.read_table(dataset / "data/index.parquet")
    selected = index.take(select_layers(index).rows)
    assert set(selected["step"].to_pylist()) == {9}


def test_a_last_step_that_cannot_be_read_is_not_final(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "r/checkpoint-5/model.safetensors", state())
    last = put(zoo / "r/checkpoint-9/model.safetensors", state(1))
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])  # the disk was full
    run_sync()
    assert final(dataset) == {5: True, 9: None}
    last.write_bytes(content)
    run_sync(now=NOW + timedelta(days=1))
    assert final(dataset) == {5: False, 9: True}


def test_a_step_that_is_offered_and_not_read_yet_counts(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "r/checkpoint-5/model.safetensors", state())
    put(zoo / "r/checkpoint-9/model.safetensors", state(1))
    run_sync(limit=1)
    assert final(dataset) == {5: False}


def test_the_tables_are_not_written_again_where_nothing_changed(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "r/checkpoint-5/model.safetensors", state())
    put(zoo / "r/checkpoint-9/model.safetensors", state())  # a duplicate
    run_sync()
    assert final(dataset) == {5: False, 9: True}
    before = (dataset / "manifest.json").read_bytes()
    run_sync(now=NOW + timedelta(days=1))
    assert (dataset / "manifest.json").read_bytes() == before


def test_the_name_of_the_listed_folder_is_not_published(out: Path) -> None:
    """It may be the name of a user."""
    assert runs(out, "checkpoint-5/model.safetensors", "checkpoint-9/model.safetensors") == {
        "checkpoint-5/model.safetensors": (".", 5),
        "checkpoint-9/model.safetensors": (".", 9),
    }
