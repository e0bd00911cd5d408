"""What counts as lost from one version to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from filtercrawl.api.checkpoint import Checkpoint, RemoteFile
from filtercrawl.api.errors import PolicyError
from filtercrawl.config import Settings
from filtercrawl.config.settings import PublishSettings
from filtercrawl.pipeline.records import CrawlTask, Plan
from filtercrawl_publish.releasing.loss_guard import GuardedLayer, LossReport, check_planned_losses, compare_layers
from filtercrawl_publish.repository.base import CommitOperations
from filtercrawl_publish.repository.folder import FolderRepository


def layer(
    name: str, model: str = "m", weights: str | None = None, rows: int = 1, *, stored: bool = True
) -> GuardedLayer:
    return GuardedLayer(
        layer_id=f"{model}#{name}", model_id=model, sha256=weights or f"{model}-{name}", rows=rows, stored=stored
    )


BEFORE = [layer("a"), layer("b", rows=3), layer("a", "n"), layer("b", "n", stored=False, weights="m-b")]


@pytest.mark.parametrize(
    ("after", "withdrawn", "rows", "models"),
    [
        (BEFORE, (), 0, 0),
        ([], (), 5, 2),
        ([], ("m", "n"), 0, 0),
        ([], ("n",), 4, 1),
        ([layer("a"), layer("a", "n")], (), 3, 0),
        ([layer("a", weights="changed"), layer("b"), layer("a", "n")], (), 0, 0),
        ([layer("z", "renamed", "m-b"), layer("a"), layer("a", "n")], (), 0, 0),
        ([layer("b", "n", weights="m-b"), layer("a", "n")], (), 1, 1),
    ],
    ids=["unchanged", "all", "all withdrawn", "one withdrawn", "one layer", "changed weights", "renamed", "duplicate"],
)
def test_losses(after: list[GuardedLayer], withdrawn: tuple[str, ...], rows: int, models: int) -> None:
    row_loss, model_loss = compare_layers(BEFORE, after, withdrawn)
    assert (row_loss.count, row_loss.of) == (rows, 5)
    assert (model_loss.count, model_loss.of) == (models, 2)


def test_the_first_version_loses_nothing() -> None:
    assert [loss.share for loss in compare_layers([], BEFORE, ())] == [0, 0]


def test_a_loss_names_some_models() -> None:
    loss = LossReport(what="models", count=4, of=1600, names=("a", "b", "c"))
    assert str(loss) == "4 of 1,600 models (0.2 %): a, b, c, ..."
    assert loss.share == pytest.approx(0.0025)


def test_a_loss_names_all_models_where_there_are_few() -> None:
    assert str(LossReport(what="models", count=2, of=8, names=("a", "b"))) == "2 of 8 models (25.0 %): a, b"


def test_three_models_are_named_in_order() -> None:
    before = [layer("a", name) for name in ("d", "c", "e", "b")]
    rows, models = compare_layers(before, [layer("a", "e")], ("e",))
    assert (rows.names, models.names) == (("b", "c", "d"), ("b", "c", "d"))
    assert (rows.what, models.what) == ("rows of layers", "models")
    _, models = compare_layers(before, [], ())
    assert models.names == ("b", "c", "d")


@pytest.fixture
def last_version(tmp_path: Path) -> tuple[FolderRepository, str]:
    """A repository of which the version has ten checkpoints, each with a layer, and one without, and its commit."""
    rows = [
        {"layer_id": f"{name}#0", "model_id": name, "layer_sha256": name * 64, "n_parts": 1, "row_group": 0}
        for name in "abcdefghij"
    ]
    rows.append({"layer_id": "z#0", "model_id": "z", "layer_sha256": None, "n_parts": None, "row_group": None})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "index")
    repository = FolderRepository(str(tmp_path / "out"))
    add = {"data/index/part.parquet": tmp_path / "index"}
    return repository, repository.commit(CommitOperations(add=add), None, "title", "")


def plan(new: int = 0, changed: int = 0, **changes: Any) -> Plan:
    actions = ["new"] * new + ["changed"] * changed
    tasks = tuple(
        CrawlTask(
            checkpoint=Checkpoint(name=f"{number}", files=(RemoteFile(url="https://lab.example/x"),)), source="lab",
            model_id=f"{number}", selector_id="lab:", action=action,  # type: ignore[arg-type]
        )
        for number, action in enumerate(actions)
    )  # fmt: skip
    return Plan(**{"tasks": tasks, "unchanged": (), "waiting": (), "skipped": (), "removed": (), "seen": {}, **changes})


def settings(max_lost: float = 0.1, *, prune: bool = True) -> Settings:
    return Settings(prune=prune, publish=PublishSettings(max_lost=max_lost))


REMOVED = {"removed": (("a", "lab:"), ("a", "lab:x"), ("b", "lab:"))}


@pytest.mark.parametrize(
    ("planned", "chosen"),
    [
        (plan(removed=(("a", "lab:"),)), settings()),  # not more than a tenth
        (plan(new=1, **REMOVED), settings()),  # one of the two may be renamed
        (plan(**REMOVED), settings(prune=False)),
        (plan(**REMOVED), settings(0.2)),
        (plan(dropped=frozenset("abcdefghij")), settings(1.0)),
        (plan(opted_out=("a", "x", "y", "z")), settings()),  # what has no layers is no loss
        (plan(new=10, opted_out=tuple("abcdefghij")), settings()),
    ],
)
def test_a_plan_that_need_not_lose_much_is_carried_out(
    last_version: tuple[FolderRepository, str], planned: Plan, chosen: Settings
) -> None:
    check_planned_losses(*last_version, planned, chosen)


@pytest.mark.parametrize(
    ("planned", "chosen", "told"),
    [
        (plan(**REMOVED), settings(), r"2 of 10 models \(20\.0 %\): a, b; at most 10 %"),
        (plan(changed=5, **REMOVED), settings(), r"2 of 10 models \(20\.0 %\): a, b;"),
        (plan(**REMOVED, dropped=frozenset("c"), opted_out=("d",)), settings(prune=False), r"2 of 10 .*: c, d;"),
        (plan(new=2, opted_out=tuple("edcba")), settings(0.25), r"3 of 10 models .*: a, b, c; at most 25 %"),
        (plan(opted_out=tuple("dcba")), settings(0.0), r"4 of 10 models .*: a, b, c, \.\.\.; at most 0 %"),
    ],
)
def test_a_plan_that_loses_too_much_is_refused_before_anything_is_read(
    last_version: tuple[FolderRepository, str], planned: Plan, chosen: Settings, told: str
) -> None:
    with pytest.raises(PolicyError, match=rf"^nothing was read: .* lack at least {told}.*--allow-loss"):
        check_planned_losses(*last_version, planned, chosen)
