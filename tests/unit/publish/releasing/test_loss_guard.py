"""What counts as lost from one version to the next."""

from __future__ import annotations

import pytest

from filtercrawl_publish.releasing.loss_guard import GuardedLayer, LossReport, compare_layers


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
