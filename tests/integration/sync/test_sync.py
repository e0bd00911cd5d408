"""A sync is incremental, exact, and never touches what has not changed."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from conftest import NOW, Sync
from filtercrawl.api.errors import ConflictError, DatasetError, UsageError
from filtercrawl.dataset.files.lock import locked
from support.zoo_files import layers, models, published, put, state, table


def test_kernels_are_bit_equal_to_the_file(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weights = state()
    put(zoo / "a/net.safetensors", weights)
    report = run_sync()
    assert report.to_dict()["checkpoints"]["new"] == 1
    assert (report.layers, report.kernels) == (2, 4 * 3 + 4)
    stored = layers(dataset)
    assert stored.keys() == {"local/a/net.safetensors#stem.weight", "local/a/net.safetensors#deep.weight"}
    for layer_id, weight in stored.items():
        assert np.array_equal(weight, weights[layer_id.partition("#")[2]].numpy())


def test_every_tensor_is_in_the_ledger(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    run_sync()
    ledger = {row["tensor"]: (row["outcome"], row["reason"]) for row in table(dataset, "ledger")}
    assert ledger == {
        "stem.weight": ("emitted", None),
        "stem.bias": ("skipped", "bias"),
        "norm1.weight": ("skipped", "norm"),
        "norm1.running_mean": ("skipped", "norm"),
        "mix.weight": ("skipped", "pointwise"),
        "deep.weight": ("emitted", None),
        "head.weight": ("skipped", "linear"),
        "head.bias": ("skipped", "bias"),
    }
    row = models(dataset)["local/net.safetensors"]
    assert (row["tensors_emitted"], row["tensors_skipped"]) == (2, 6)
    index = {row["tensor"]: row for row in table(dataset, "index")}
    assert index.keys() == {"stem.weight", "mix.weight", "deep.weight"}
    assert index["mix.weight"]["file"] is None
    assert index["mix.weight"]["layer_sha256"] is None
    assert index["stem.weight"]["operator_verified"] is False
    assert index["stem.weight"]["groups"] is None
    assert index["stem.weight"]["depthwise"] is False
    assert index["deep.weight"]["depthwise"] is None  # or one input channel: the shape cannot tell


def test_second_run_does_nothing(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    run_sync()
    before = {
        path: path.stat().st_mtime_ns
        for path in dataset.rglob("*")
        if path.is_file() and ".filtercrawl" not in path.parts
    }
    report = run_sync(now=NOW + timedelta(days=1))
    assert report.to_dict()["checkpoints"]["unchanged"] == 1
    assert (report.layers, report.bytes_fetched) == (0, 0)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_new_date_alone_changes_nothing(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    file = put(zoo / "net.safetensors", state())
    run_sync()
    before = published(dataset)
    file.touch()
    assert run_sync(now=NOW + timedelta(days=1)).to_dict()["checkpoints"]["unchanged"] == 1
    assert published(dataset) == before


def test_a_changed_file_is_read_again(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state(1))
    put(zoo / "other.safetensors", state(2))
    run_sync()
    other = models(dataset)["local/other.safetensors"]["layers_file"]
    stamp = (dataset / other).stat().st_mtime_ns
    put(zoo / "net.safetensors", state(3))
    report = run_sync()
    assert report.to_dict()["checkpoints"]["changed"] == 1
    assert np.array_equal(layers(dataset)["local/net.safetensors#stem.weight"], state(3)["stem.weight"].numpy())
    assert len(list((dataset / "data/layers").rglob("*.parquet"))) == 2
    assert (dataset / other).stat().st_mtime_ns == stamp


def test_a_removed_file_is_reported_and_pruned_when_asked(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "gone.safetensors", state(1))
    put(zoo / "stays.safetensors", state(2))
    run_sync()
    (zoo / "gone.safetensors").unlink()
    report = run_sync()
    assert report.removed_models == ["local/gone.safetensors"]
    assert "local/gone.safetensors#stem.weight" in layers(dataset)
    report = run_sync(prune=True)
    assert report.removed_models == ["local/gone.safetensors"]
    assert set(layers(dataset)) == {
        "local/stays.safetensors#stem.weight",
        "local/stays.safetensors#deep.weight",
    }
    assert models(dataset)["local/gone.safetensors"]["outcome"] == "skipped"
    assert run_sync(prune=True).removed_models == []
    put(zoo / "gone.safetensors", state(1))
    assert run_sync().layers == 2
    assert models(dataset)["local/gone.safetensors"]["outcome"] == "emitted"


def test_prune_touches_only_what_the_same_selector_listed(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    put(tmp_path / "a/one.safetensors", state(1))
    put(tmp_path / "b/two.safetensors", state(2))
    run_sync(f"local:{tmp_path / 'a'}", f"local:{tmp_path / 'b'}")
    report = run_sync(f"local:{tmp_path / 'a'}", prune=True)
    assert report.removed_models == []
    assert models(dataset)["local/two.safetensors"]["outcome"] == "emitted"


def test_the_same_file_twice_is_stored_once(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "b.safetensors", state())
    shutil.copy(zoo / "b.safetensors", zoo / "c.safetensors")
    run_sync()
    found = models(dataset)
    assert found["local/c.safetensors"]["duplicate_of"] == "local/b.safetensors"
    assert found["local/c.safetensors"]["bytes_fetched"] == 0  # known by its sha256, never read for its tensors
    assert len(list((dataset / "data/layers").rglob("*.parquet"))) == 1
    index = {row["layer_id"]: row for row in table(dataset, "index")}
    twin = index["local/c.safetensors#stem.weight"]
    assert (twin["file"], twin["duplicate_of"]) == (None, "local/b.safetensors#stem.weight")
    # A name that comes earlier takes the weights over: what is stored depends on what there is, not on when it came.
    shutil.copy(zoo / "b.safetensors", zoo / "a.safetensors")
    run_sync()
    found = models(dataset)
    assert [found[f"local/{name}.safetensors"]["duplicate_of"] for name in "abc"] == [
        None,
        "local/a.safetensors",
        "local/a.safetensors",
    ]
    assert set(layers(dataset)) == {"local/a.safetensors#stem.weight", "local/a.safetensors#deep.weight"}


@pytest.mark.parametrize("comes_later", [False, True])
def test_a_file_stores_the_weights_and_not_a_link_to_it(
    zoo: Path, dataset: Path, run_sync: Sync, comes_later: bool
) -> None:
    real = put(zoo / "real.safetensors", state())
    if comes_later:
        run_sync()
    (zoo / "a_link.safetensors").symlink_to(real)
    (zoo / "b").mkdir()
    (zoo / "a_folder").symlink_to(zoo / "b")
    put(zoo / "b/other.safetensors", state(1))
    run_sync()
    outcomes = {name: (row["outcome"], row["duplicate_of"]) for name, row in models(dataset).items()}
    assert outcomes == {
        "local/real.safetensors": ("emitted", None),
        "local/a_link.safetensors": ("duplicate", "local/real.safetensors"),
        "local/b/other.safetensors": ("emitted", None),
        "local/a_folder/other.safetensors": ("duplicate", "local/b/other.safetensors"),
    }
    assert len(list((dataset / "data/layers").rglob("*.parquet"))) == 2
    rebuilt = run_sync(rebuild=True)
    assert rebuilt.checkpoints["unchanged"] == 4
    assert models(dataset)["local/real.safetensors"]["outcome"] == "emitted"


def test_each_checkpoint_is_counted_once(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        put(zoo / f"{name}.safetensors", state(seed))
    (zoo / "broken.safetensors").write_bytes(b"\0" * 99)
    (zoo / "a link.safetensors").symlink_to(zoo / "c.safetensors")  # read first, and then a duplicate
    expected = {"new": 2, "duplicate": 2, "failed": 1}
    report = run_sync()
    assert {word: report.checkpoints[word] for word in expected} == expected
    assert report.checkpoints["discovered"] == report.n_crawled == 5
    assert "checkpoints: 2 new, 2 duplicate, 1 failed\n" in str(report)
    assert {word: report.to_dict()["sources"]["local"][word] for word in expected} == expected


def test_the_same_tensors_in_another_format_are_a_duplicate(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state().items()}}, zoo / "net.pth")
    report = run_sync()
    assert report.to_dict()["checkpoints"]["duplicate"] == 1
    assert models(dataset)["local/net.safetensors"]["duplicate_of"] == "local/net.pth"
    index = {row["layer_id"]: row for row in table(dataset, "index")}
    assert index["local/net.pth#state_dict.module.stem.weight"]["layer"] == "stem"
    assert index["local/net.safetensors#stem.weight"]["duplicate_of"] == "local/net.pth#state_dict.module.stem.weight"


@pytest.mark.parametrize("change", ["pruned", "changed"])
def test_when_the_keeper_goes_the_next_one_is_promoted(zoo: Path, dataset: Path, run_sync: Sync, change: str) -> None:
    for name in "abc":
        put(zoo / f"{name}.safetensors", state())
    run_sync()
    if change == "pruned":
        (zoo / "a.safetensors").unlink()
    else:
        put(zoo / "a.safetensors", state(9))
    run_sync(prune=True)
    found = models(dataset)
    assert found["local/b.safetensors"]["outcome"] == "emitted"
    assert found["local/c.safetensors"]["duplicate_of"] == "local/b.safetensors"
    assert np.array_equal(layers(dataset)["local/b.safetensors#stem.weight"], state()["stem.weight"].numpy())
    # The same as if the keeper had never been.
    fresh = dataset.parent / "fresh"
    (zoo / "a.safetensors").unlink(missing_ok=True)
    run_sync(dataset=fresh)
    assert found["local/b.safetensors"]["layers_file"] == models(fresh)["local/b.safetensors"]["layers_file"]


def test_a_renamed_file_keeps_its_id(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "old.safetensors", state())
    run_sync()
    (zoo / "old.safetensors").rename(zoo / "new.safetensors")
    counts = run_sync().to_dict()["checkpoints"]
    assert (counts["renamed"], counts["new"], counts["removed"]) == (1, 0, 0)
    found = models(dataset)
    assert found.keys() == {"local/old.safetensors"}
    assert found["local/old.safetensors"]["aliases"] == ["new.safetensors"]
    assert [(row["old_name"], row["new_name"]) for row in table(dataset, "renames")] == [
        ("old.safetensors", "new.safetensors")
    ]
    assert run_sync().to_dict()["checkpoints"]["unchanged"] == 1


def test_what_is_gone_stays_while_its_new_name_may_not_have_been_read(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for number, name in enumerate(("old", "gone")):
        put(zoo / f"{name}.safetensors", state(number))
    run_sync()
    (zoo / "old.safetensors").rename(zoo / "renamed.safetensors")
    (zoo / "gone.safetensors").unlink()
    put(zoo / "another.safetensors", state(2))
    assert run_sync(limit=1, prune=True).checkpoints["removed"] == 0
    names = [f"local/{name}.safetensors" for name in ("another", "gone", "old")]
    assert {name: row["outcome"] for name, row in models(dataset).items()} == dict.fromkeys(names, "emitted")
    counts = run_sync(prune=True).checkpoints
    assert (counts["renamed"], counts["removed"]) == (1, 1)
    assert [models(dataset)[name]["outcome"] for name in names] == ["emitted", "skipped", "emitted"]


def test_a_renamed_file_whose_old_name_is_back_is_two_checkpoints(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "old.safetensors", state())
    run_sync()
    (zoo / "old.safetensors").rename(zoo / "new.safetensors")
    run_sync()
    put(zoo / "old.safetensors", state())
    run_sync()
    both = {"local/new.safetensors": "emitted", "local/old.safetensors": "duplicate"}
    assert {name: row["outcome"] for name, row in models(dataset).items()} == both
    assert run_sync().to_dict()["checkpoints"]["unchanged"] == 2
    (zoo / "old.safetensors").unlink()
    run_sync(prune=True)
    assert {name: row["outcome"] for name, row in models(dataset).items()} == {
        "local/old.safetensors": "skipped",
        "local/new.safetensors": "emitted",
    }


def test_files_that_trade_places_keep_their_own_content(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for i in range(4):
        put(zoo / f"{i}.safetensors", state(i))
    run_sync()
    for i in range(4):
        put(zoo / f"{i}.safetensors", state((i + 1) % 4))
    put(zoo / "new.safetensors", state(0))
    run_sync()
    found = layers(dataset)
    index = {row["layer_id"]: row for row in table(dataset, "index")}
    for name, seed in (("0", 1), ("1", 2), ("2", 3), ("3", 0), ("new", 0)):
        row = index[f"local/{name}.safetensors#stem.weight"]
        weight = found[row["layer_id"] if row["file"] else row["duplicate_of"]]
        assert np.array_equal(weight, state(seed)["stem.weight"].numpy())


def test_wider_policy_is_a_change_and_narrower_drops_nothing(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    assert run_sync(kernel_size="3x3").layers == 1
    assert run_sync(kernel_size="all").layers == 3
    assert run_sync(kernel_size="3x3").to_dict()["checkpoints"]["unchanged"] == 1
    assert len(layers(dataset)) == 3


def test_failures_are_recorded_and_retried_with_growing_pauses(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    good = put(zoo / "net.safetensors", state()).read_bytes()
    (zoo / "net.safetensors").write_bytes(good[:-5])
    report = run_sync(limit=5)
    assert report.exit_code(settings(fail_on="new")) == 3
    row = models(dataset)["local/net.safetensors"]
    assert (row["outcome"], row["attempts"], row["next_retry"]) == ("failed", 1, NOW + timedelta(days=1))
    assert "\n" not in row["reason"]
    report = run_sync(now=NOW + timedelta(hours=1))
    assert report.to_dict()["checkpoints"]["waiting"] == 1
    assert report.exit_code(settings(fail_on="new")) == 0
    assert report.exit_code(settings(fail_on="any")) == 3
    run_sync(now=NOW + timedelta(days=1))
    row = models(dataset)["local/net.safetensors"]
    assert (row["attempts"], row["next_retry"]) == (2, NOW + timedelta(days=3))
    assert run_sync(retry="none", now=NOW + timedelta(days=9)).to_dict()["checkpoints"]["failed"] == 0
    assert run_sync(retry="all", now=NOW + timedelta(days=1)).to_dict()["checkpoints"]["failed"] == 1
    (zoo / "net.safetensors").write_bytes(good)
    assert run_sync().layers == 2
    row = models(dataset)["local/net.safetensors"]
    assert (row["outcome"], row["reason"], row["attempts"]) == ("emitted", None, 0)


def settings(**values: str):
    from filtercrawl.config import Settings

    return Settings(**values)


def test_a_file_that_goes_bad_costs_nothing_already_written(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    good = put(zoo / "net.safetensors", state()).read_bytes()
    run_sync()
    (zoo / "net.safetensors").write_bytes(good[:100])
    run_sync()
    row = models(dataset)["local/net.safetensors"]
    assert row["outcome"] == "failed"
    assert len(layers(dataset)) == 2
    (zoo / "net.safetensors").write_bytes(good)
    run_sync()
    assert models(dataset)["local/net.safetensors"]["outcome"] == "emitted"


def test_sharded_checkpoints_are_one(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    weight_map = {}
    for i in range(200):
        name = f"model-{i:05}-of-00200.safetensors"
        save_file({f"layers.{i}.weight": torch.full((2, 3, 3, 3), float(i))}, zoo / name)
        weight_map[f"layers.{i}.weight"] = name
    (zoo / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (zoo / "config.json").write_text("{}")
    report = run_sync()
    assert (
        report.to_dict()["checkpoints"] | {"discovered": 1, "ignored": 1, "new": 1} == report.to_dict()["checkpoints"]
    )
    assert models(dataset)["local/model.safetensors.index.json"]["n_layers"] == 200
    assert run_sync().to_dict()["checkpoints"]["unchanged"] == 1
    save_file({"layers.7.weight": torch.ones(2, 3, 3, 3)}, zoo / "model-00007-of-00200.safetensors")
    assert run_sync().to_dict()["checkpoints"]["changed"] == 1
    (zoo / "model-00199-of-00200.safetensors").unlink()
    report = run_sync()
    assert "model-00199-of-00200.safetensors" in report.failures["local/model.safetensors.index.json"]
    assert len(layers(dataset)) == 200


def test_two_roots_with_one_name_are_refused(tmp_path: Path, dataset: Path, run_sync: Sync) -> None:
    for seed, name in enumerate("ab"):
        put(tmp_path / name / "net.safetensors", state(seed))
    one, two = (f"local:{tmp_path / name}" for name in "ab")
    with pytest.raises(UsageError, match=r"both offer 'net\.safetensors'.*as=LABEL") as caught:
        run_sync(one, two)
    assert one in str(caught.value)
    assert two in str(caught.value)
    run_sync(one)
    with pytest.raises(UsageError, match="both offer"):
        run_sync(two)
    run_sync(f"{two} as=second")
    assert models(dataset).keys() == {"local/net.safetensors", "local/second/net.safetensors"}


def test_checkpoints_and_dataset_are_apart_unless_the_dataset_is_among_them(zoo: Path, run_sync: Sync) -> None:
    put(zoo / "models/net.safetensors", state())
    with pytest.raises(UsageError, match="holds files, but no dataset"):
        run_sync(dataset=zoo)
    assert [path.name for path in zoo.iterdir()] == ["models"]
    for _ in range(2):
        assert run_sync(dataset=zoo / "filtercrawl-dataset").checkpoints["discovered"] == 1
    inside = put(zoo / "filtercrawl-dataset/models/net.safetensors", state())
    for path in (inside, inside.parent):
        with pytest.raises(UsageError, match=r"models.* lies in the dataset folder .*filtercrawl-dataset"):
            run_sync(f"local:{path}", dataset=zoo / "filtercrawl-dataset")


def test_a_second_run_at_the_same_time_is_refused(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    with locked(dataset, create=True), pytest.raises(ConflictError, match=r"process \d+ on .* is at work"):
        run_sync()
    assert run_sync().layers == 2


def test_limits_stop_cleanly_and_the_next_run_goes_on(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for i in range(6):
        put(zoo / f"{i}.safetensors", state(i))
    report = run_sync(limit=2)
    assert (len(models(dataset)), report.n_left) == (2, 4)
    report = run_sync(max_bytes=1, jobs=1)
    assert 2 < len(models(dataset)) < 6
    assert run_sync(time_limit=0.0).layers == 0
    run_sync()
    assert len(models(dataset)) == 6


def test_dry_run_writes_nothing(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    report = run_sync(dry_run=True)
    assert report.to_dict()["sources"]["local"]["new"] == 1
    assert published(dataset) == {}


@pytest.mark.parametrize("jobs", [1, 4])
def test_bytes_do_not_depend_on_jobs_or_order(
    zoo: Path, dataset: Path, run_sync: Sync, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        put(zoo / f"{i}.safetensors", state(i % 3))
    run_sync(jobs=2)
    other = dataset.parent / "elsewhere/dataset"
    other.parent.mkdir()
    run_sync(f"local:{zoo / '4.safetensors'}", dataset=other, jobs=jobs)
    run_sync(dataset=other, jobs=jobs)
    one, two = published(dataset), published(other)
    assert {path: digest for path, digest in one.items() if path.startswith("data/layers")} == {
        path: digest for path, digest in two.items() if path.startswith("data/layers")
    }
    assert one["data/index/part.parquet"] == two["data/index/part.parquet"]


def test_catalog_is_rebuilt_from_the_published_files(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        put(zoo / f"{name}.safetensors", state(seed))
    (zoo / "bad.pt").write_bytes(b"nonsense")
    run_sync()
    before = published(dataset)
    shutil.rmtree(dataset / ".filtercrawl")
    shutil.rmtree(dataset / "data/layers")  # an empty machine has the tables and nothing else
    report = run_sync()
    assert report.to_dict()["checkpoints"] | {"unchanged": 3, "waiting": 1, "new": 0} == report.to_dict()["checkpoints"]
    assert {path: digest for path, digest in before.items() if "layers/" not in path} == published(dataset)


def test_catalog_is_rebuilt_on_request(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    with pytest.raises(DatasetError, match="no published tables"):
        run_sync(rebuild=True)
    put(zoo / "a.safetensors", state(1))
    run_sync()
    before = published(dataset)
    (dataset / ".filtercrawl/catalog.sqlite").write_bytes(b"not a database, but long enough to look like one" * 9)
    with pytest.raises(DatasetError, match="rebuild"):
        run_sync()
    assert run_sync(rebuild=True).to_dict()["checkpoints"]["unchanged"] == 1
    assert published(dataset) == before


def test_a_lost_layers_file_is_written_again(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(2))
    run_sync()
    before = published(dataset)
    (dataset / models(dataset)["local/a.safetensors"]["layers_file"]).unlink()
    run_sync()
    after = published(dataset)
    assert {path: d for path, d in after.items() if "models" not in path} == {
        path: d for path, d in before.items() if "models" not in path
    }


def test_the_lost_layers_file_of_one_with_a_twin_is_written_again(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "a.safetensors", state(1))
    put(zoo / "b.safetensors", state(1))
    run_sync()
    lost = dataset / models(dataset)["local/a.safetensors"]["layers_file"]
    before = lost.read_bytes()
    lost.unlink()
    run_sync()
    found = models(dataset)
    assert [found[f"local/{name}.safetensors"]["outcome"] for name in "ab"] == ["emitted", "duplicate"]
    assert lost.read_bytes() == before


def test_a_lost_layers_file_of_one_that_goes_is_read_from_its_twin(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        put(zoo / f"{name}.safetensors", state(seed))
    run_sync()
    (dataset / models(dataset)["local/a.safetensors"]["layers_file"]).unlink()
    (zoo / "a.safetensors").unlink()
    run_sync(prune=True)
    found = models(dataset)
    assert [found[f"local/{name}.safetensors"]["outcome"] for name in "abc"] == ["skipped", "failed", "emitted"]
    assert "weights were lost with local/a.safetensors" in found["local/b.safetensors"]["reason"]
    run_sync(prune=True)
    assert models(dataset)["local/b.safetensors"]["outcome"] == "emitted"
    assert {layer.partition("#")[0] for layer in layers(dataset)} == {"local/b.safetensors", "local/c.safetensors"}


def test_what_is_opted_out_is_never_kept(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        put(zoo / f"{name}.safetensors", state(seed))
    run_sync()
    run_sync(opt_out=("local:a.*",))
    row = models(dataset)["local/a.safetensors"]
    assert (row["outcome"], row["reason"], row["layers_file"]) == ("skipped", "opted out", None)
    assert models(dataset)["local/b.safetensors"]["outcome"] == "emitted"  # it has the weights now
    assert not any(layer.startswith("local/a.") for layer in layers(dataset))
    (zoo / "c.safetensors").unlink()  # a takedown holds also for what is offered no more
    run_sync(opt_out=("local:a.*", "local:c.*"))
    assert models(dataset)["local/c.safetensors"]["outcome"] == "skipped"
    assert {layer.partition("#")[0] for layer in layers(dataset)} == {"local/b.safetensors"}
    assert run_sync(opt_out=("local:a.*", "local:c.*")).to_dict()["checkpoints"]["unchanged"] == 1


def test_licence_filter(zoo: Path, dataset: Path, run_sync: Sync) -> None:
    put(zoo / "net.safetensors", state())
    report = run_sync(license=("MIT",))
    assert report.to_dict()["checkpoints"]["skipped"] == 1
    assert "license unknown" in models(dataset)["local/net.safetensors"]["reason"]
    assert run_sync().layers == 2
