"""Runs and steps that the source `local` finds in the names of files and folders."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from conftest import NOW, Sync
from filtercrawl.api.checkpoint import Checkpoint
from filtercrawl.api.source import Query
from filtercrawl_analysis.data.selection import select_layers
from filtercrawl_plugins.sources.local.source import LocalSource
from support.no_network import NoNetwork
from support.zoo_files import models, put, state

Found = tuple[str | None, int | None]


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
        "v0/last.ckpt": ("v0", None),
        "v1/net-epoch=03-step=400-val_loss=0.21.ckpt": ("v1/net", 400),
        "v1/other-epoch=03-step=300-val_loss=0.3.ckpt": ("v1/other", 300),
        "timm/checkpoint-9.pth.tar": ("timm", 9),
        "timm/checkpoint-12.pth.tar": ("timm", 12),
        "mae/checkpoint-799.pth": ("mae", 799),
    }


@pytest.mark.parametrize(
    ("name", "run", "step"),
    [
        ("epoch=3.ckpt", ".", None),
        ("step=400-epoch=3.ckpt", ".", 400),
        ("epoch=3-val_loss=0.12-step=400.ckpt", ".", 400),
        ("epoch=3-step=400-val_loss=-0.5e-05.ckpt", ".", 400),
        ("my-net-val_acc=0.9-step=400-epoch=3.ckpt", "my-net", 400),
        ("step=400-step=500.ckpt", ".", None),
        ("last.ckpt", ".", None),
        ("epoch=3-step=400-v1.ckpt", None, 400),
        ("last-v2.ckpt", None, None),
    ],
)
def test_names_of_lightning(name: str, run: str | None, step: int | None, out: Path) -> None:
    assert runs(out, name) == {name: (run, step)}


def test_a_folder_of_lightning_with_a_second_version_may_have_several_runs(out: Path) -> None:
    names = ("a/epoch=3-step=400.ckpt", "a/epoch=3-step=400-v1.ckpt", "a/net-step=9.ckpt", "a/last.ckpt",
             "b/step=7.ckpt", "b/net-step=9.ckpt", "b/last-v1.ckpt", "c/net-step=9.ckpt", "c/last.ckpt")  # fmt: skip
    assert runs(out, *names) == {
        "a/epoch=3-step=400.ckpt": (None, 400),
        "a/epoch=3-step=400-v1.ckpt": (None, 400),
        "a/net-step=9.ckpt": ("a/net", 9),
        "a/last.ckpt": (None, None),
        "b/step=7.ckpt": (None, 7),
        "b/net-step=9.ckpt": (None, 9),
        "b/last-v1.ckpt": (None, None),
        "c/net-step=9.ckpt": ("c/net", 9),
        "c/last.ckpt": ("c/net", None),
    }


def trainer_state(folder: Path, step: object, **others: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, **others}))


def test_weights_that_transformers_saves_at_the_end_are_of_the_last_step(out: Path) -> None:
    trainer_state(out / "a", 2000)
    trainer_state(out / "best", 2000, best_model_checkpoint="best/checkpoint-500")
    trainer_state(out / "odd", "2000")
    (out / "broken").mkdir()
    (out / "broken/trainer_state.json").write_text("{")
    names = [f"{folder}/model.safetensors" for folder in ("a", "best", "broken", "odd", "none")]
    assert runs(out, "a/checkpoint-500/model.safetensors", "a/training_args.bin", "a/other.bin", *names) == {
        "a/checkpoint-500/model.safetensors": ("a", 500),
        "a/model.safetensors": ("a", 2000),
    }


def test_trainers_side_by_side_in_one_folder(out: Path) -> None:
    (out / "ray").mkdir()
    (out / "ray/result.json").write_text('{"training_iteration": 8, "checkpoint_dir_name": "checkpoint_000001"}')
    assert runs(
        out, "hf/checkpoint-5/model.safetensors", "lightning/version_0/checkpoints/epoch=0-step=9.ckpt",
        "lightning/version_1/checkpoints/epoch=0-step=7.ckpt", "ray/checkpoint_000001/model.pt",
        "timm/checkpoint-3.pth.tar",
    ) == {
        "hf/checkpoint-5/model.safetensors": ("hf", 5),
        "lightning/version_0/checkpoints/epoch=0-step=9.ckpt": ("lightning/version_0/checkpoints", 9),
        "lightning/version_1/checkpoints/epoch=0-step=7.ckpt": ("lightning/version_1/checkpoints", 7),
        "ray/checkpoint_000001/model.pt": ("ray", 8),
        "timm/checkpoint-3.pth.tar": ("timm", 3),
    }  # fmt: skip


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
     "checkpoint-٣/model.pt", f"checkpoint-{10**18}/model.pt", "val_step=3-loss=4.ckpt", "best.ckpt"],
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
    index = pq.read_table(dataset / "data/index/part.parquet")
    selected = index.take(select_layers(index).rows)
    assert set(selected["step"].to_pylist()) == {9}


def save(path: Path, seed: int, **training: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state(seed), **training}, path)
    return path


def test_the_file_states_the_step_where_its_name_does_not(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    save(zoo / "v0/epoch=0-step=400.ckpt", 0, epoch=0, global_step=400)
    last = save(zoo / "v0/last.ckpt", 1, epoch=1, global_step=800)
    shutil.copy(last, zoo / "v0/same.ckpt")
    save(zoo / "other.pth", 2, epoch=7)
    save(zoo / "checkpoint-3.pth.tar", 3, epoch=9)
    run_sync()
    expected = {
        "checkpoint-3.pth.tar": (".", 3, True, {"epoch": 9, "step_in_file": 9}),
        "other.pth": (None, 7, None, {"epoch": 7}),
        "v0/epoch=0-step=400.ckpt": ("v0", 400, False, {"epoch": 0}),
        "v0/last.ckpt": ("v0", 800, True, {"epoch": 1}),
        "v0/same.ckpt": (None, 800, None, {"epoch": 1}),
    }
    for day in range(2):
        manifest = dataset / "manifest.json"
        before = manifest.read_bytes() if day else b""
        run_sync(now=NOW + timedelta(days=day))
        found = {
            row["name"]: (row["run_id"], row["step"], row["run_final"], json.loads(row["extra"]))
            for row in models(dataset).values()
        }
        assert found == expected
        assert not day or manifest.read_bytes() == before


def test_a_metadata_file_overrules_name_and_file(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    save(zoo / "step=400.ckpt", 0, global_step=500)
    (zoo / "metadata.csv").write_text("file_name,step\n*.ckpt,600\n")
    run_sync()
    (row,) = models(dataset).values()
    assert (row["step"], json.loads(row["extra"])) == (600, {"step_in_name": 400, "step_in_file": 500})


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
