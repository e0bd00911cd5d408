"""Checkpoints with the same layers: which are duplicates, which are emitted, and who stores the weights."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conftest import NOW, Sync
from filtercrawl.load.layers import load_layers
from filtercrawl_publish.verification.verify import verify_folder
from support.zoo_files import State, layers, models, put, state, table


def finetuned(seed: int = 1) -> State:
    """The same convolutions under another head."""
    return state() | {"head.weight": torch.full((10, 4), float(seed))}


def roles(dataset: Path) -> dict[str, tuple[str, str | None, bool]]:
    """Outcome, `duplicate_of` and whether the checkpoint has a file of its own, by name."""
    return {
        row["name"].partition(".")[0]: (
            row["outcome"],
            row["duplicate_of"] and row["duplicate_of"].removeprefix("local/").partition(".")[0],
            row["layers_file"] is not None,
        )
        for row in models(dataset).values()
    }


def index_files(dataset: Path, name: str) -> set[str | None]:
    return {
        row["file"]
        for row in table(dataset, "index")
        if row["layer_sha256"] is not None and row["model_id"] == f"local/{name}.safetensors"
    }


def test_networks_with_the_same_layers_and_another_head_are_no_duplicates(
    zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "b.safetensors", finetuned())
    shutil.copy(zoo / "b.safetensors", zoo / "c.safetensors")
    report = run_sync()
    assert report.checkpoints["duplicate"] == 1
    assert report.layers == 2
    assert roles(dataset) == {
        "a": ("emitted", None, True),
        "b": ("emitted", None, False),
        "c": ("duplicate", "b", False),
    }
    stored = models(dataset)["local/a.safetensors"]["layers_file"]
    assert index_files(dataset, "a") == index_files(dataset, "b") == {stored}
    assert index_files(dataset, "c") == {None}
    assert {row["layer_id"] for row in table(dataset, "index") if row["row_group"] is not None} == set(layers(dataset))
    assert list(verify_folder(dataset)) == []
    assert len(load_layers(dataset, where="model_id = 'local/b.safetensors'")) == 2


def test_tensors_that_are_not_kernels_tell_networks_apart(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state())
    other = state()
    other["norm1.running_mean"][0] += 1e-3
    put(zoo / "b.safetensors", other)
    put(zoo / "c.safetensors", {name.replace("head", "classifier"): tensor for name, tensor in state().items()})
    put(zoo / "d.safetensors", {name: tensor.half() if "head" in name else tensor for name, tensor in state().items()})
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state().items()}}, zoo / "e.pth")
    run_sync()
    assert {name: role[:2] for name, role in roles(dataset).items()} == {
        **dict.fromkeys("abcd", ("emitted", None)),
        "e": ("duplicate", "a"),
    }


@pytest.mark.parametrize("change", ["pruned", "changed"])
def test_when_the_owner_goes_the_next_one_stores_the_weights(
    change: str, zoo: Path, dataset: Path, run_sync: Sync
) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "b.safetensors", finetuned())
    shutil.copy(zoo / "b.safetensors", zoo / "c.safetensors")
    run_sync()
    before = layers(dataset)
    if change == "pruned":
        (zoo / "a.safetensors").unlink()
    else:
        put(zoo / "a.safetensors", state(9))
    run_sync(prune=True)
    assert {name: roles(dataset)[name] for name in "bc"} == {
        "b": ("emitted", None, True),
        "c": ("duplicate", "b", False),
    }
    for layer_id, weight in before.items():
        assert np.array_equal(layers(dataset)[layer_id.replace("/a.", "/b.")], weight)
    assert list(verify_folder(dataset)) == []


def test_a_duplicate_whose_head_is_trained_further_is_emitted(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state())
    shutil.copy(zoo / "a.safetensors", zoo / "b.safetensors")
    run_sync()
    assert roles(dataset)["b"] == ("duplicate", "a", False)
    put(zoo / "b.safetensors", finetuned())
    run_sync(now=NOW + timedelta(days=1))
    assert roles(dataset) == {"a": ("emitted", None, True), "b": ("emitted", None, False)}
    put(zoo / "a.safetensors", finetuned())
    run_sync(now=NOW + timedelta(days=2))
    assert roles(dataset) == {"a": ("emitted", None, True), "b": ("duplicate", "a", False)}
    assert list(verify_folder(dataset)) == []


def test_what_is_stored_once_is_rebuilt_from_the_tables(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "b.safetensors", finetuned())
    torch.save(finetuned(), zoo / "c.pt")
    run_sync()
    before = table(dataset, "index"), roles(dataset)
    run_sync(rebuild=True)
    assert (table(dataset, "index"), roles(dataset)) == before
    (zoo / "a.safetensors").unlink()
    run_sync(prune=True)
    assert roles(dataset)["b"] == ("emitted", None, True)
    assert roles(dataset)["c"] == ("duplicate", "b", False)


def test_weights_that_are_lost_are_written_again(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state())
    put(zoo / "b.safetensors", finetuned())
    run_sync()
    before = layers(dataset)
    (dataset / models(dataset)["local/a.safetensors"]["layers_file"]).unlink()
    run_sync()
    assert roles(dataset) == {"a": ("emitted", None, True), "b": ("emitted", None, False)}
    assert layers(dataset).keys() == before.keys()
    (dataset / models(dataset)["local/a.safetensors"]["layers_file"]).unlink()
    (zoo / "a.safetensors").unlink()
    run_sync(prune=True)
    run_sync(retry="all")
    assert roles(dataset)["b"] == ("emitted", None, True)
    assert list(verify_folder(dataset)) == []


KINDS = {0: state(), 1: finetuned(1), 2: finetuned(2), 3: state(7)}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from(sorted(KINDS)), min_size=1), min_size=2, max_size=3
    )
)
@example(steps=[{"a": 0}, {"b": 0}, {"a": 0, "b": 0}])
def test_roles_depend_on_what_there_is_and_not_on_its_history(
    steps: list[dict[str, int]], tmp_path_factory: pytest.TempPathFactory, run_sync: Sync
) -> None:
    folder = tmp_path_factory.mktemp("history")
    zoo, dataset = folder / "zoo", folder / "dataset"
    zoo.mkdir()
    for day, step in enumerate(steps):
        for name in "abc":
            (zoo / f"{name}.safetensors").unlink(missing_ok=True)
        for name, kind in step.items():
            put(zoo / f"{name}.safetensors", KINDS[kind])
        run_sync(f"local:{zoo}", dataset=dataset, prune=True, now=NOW + timedelta(days=day))
    run_sync(f"local:{zoo}", dataset=folder / "fresh")
    # By file, not by name: a new name with the file of a name that is gone is a rename, and the old id stays.
    assert outcomes_by_file(dataset) == outcomes_by_file(folder / "fresh")
    assert len(layers(dataset)) == len(layers(folder / "fresh"))
    assert list(verify_folder(dataset)) == []


def outcomes_by_file(dataset: Path) -> list[tuple[str, str]]:
    return sorted(
        (row["file_sha256"], row["outcome"]) for row in models(dataset).values() if row["outcome"] != "skipped"
    )
