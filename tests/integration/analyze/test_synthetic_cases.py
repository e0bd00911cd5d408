"""Cases planted in datasets that sync wrote: noise, copies, dead layers, a shift, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.api.analysis import Result
from filtercrawl_analysis.plots.render import png
from support.synthetic_datasets import EDGES, SMOOTH, Net, Rows, analysed, kernels, net, plant, rows

# What the shifted group has beside its architecture's spectrum: diagonal structure.
SHIFTED = {4: 2.0}


@pytest.fixture(scope="module")
def degenerate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network of trained-looking layers among which five are not; and one of noise alone."""
    random = np.random.default_rng(7)
    generator = torch.Generator().manual_seed(7)

    def trained() -> torch.Tensor:
        return kernels(random, SMOOTH, 256).reshape(16, 16, 3, 3)

    dead = torch.where(torch.rand(16, 16, 1, 1, generator=generator) < 0.95, 1e-4, 1.0) * trained()
    few = kernels(random, SMOOTH, 4)[torch.randint(0, 4, (256,), generator=generator)]
    state = {
        "trained0.weight": trained(),
        "trained1.weight": trained(),
        "dead.weight": dead,
        "zero.weight": torch.zeros(16, 16, 3, 3),
        "copies.weight": kernels(random, EDGES, 1).expand(256, 3, 3).reshape(16, 16, 3, 3).contiguous(),
        "scaled.weight": kernels(random, EDGES, 1).reshape(1, 1, 3, 3) * torch.randn(16, 16, 1, 1, generator=generator),
        "few.weight": few.reshape(16, 16, 3, 3).contiguous(),
        "noise.weight": torch.randn(16, 16, 3, 3, generator=generator),
        "noise5.weight": torch.rand(16, 16, 5, 5, generator=generator) - 0.5,
        "tiny.weight": torch.randn(2, 4, 3, 3, generator=generator),
    }
    return plant(tmp_path_factory.mktemp("degenerate"), [Net(name="mixed", state=state)])


def by_layer(found: Rows) -> dict[str, dict[str, object]]:
    return {str(row["layer_id"]).partition("#")[2].removesuffix(".weight"): row for row in found}


def test_verdicts_are_those_that_were_planted(degenerate: Path) -> None:
    result = analysed("degeneracy", degenerate)
    found = {name: row["verdict"] for name, row in by_layer(rows(result, "layer_quality")).items()}
    assert found == {
        "trained0": "ok",
        "trained1": "ok",
        "dead": "dead",
        "zero": "dead",
        "copies": "repeated",
        "scaled": "repeated",
        "few": "repeated",
        "noise": "random",
        "noise5": "random",
        "tiny": "too small",
    }
    assert set(by_layer(rows(result, "degenerate_layers"))) == set(found) - {"trained0", "trained1", "tiny"}
    assert str(result.findings[0]) == (
        "Of 10 layers, 4 can be judged: 2 are ok, 2 cannot be told from random weights (8 tests, false discovery rate "
        "0.05). Of the others, 2 are dead, 3 repeat a few kernels, 1 is too small to judge."
    )


def test_a_network_of_noise_is_not_called_trained_by_the_many_tests(tmp_path: Path) -> None:
    """Of 60 random layers, some have p-values below 0.05; adjusted ones do not."""
    generator = torch.Generator().manual_seed(8)
    state = {f"l{i}.weight": torch.randn(16, 8, 3, 3, generator=generator) for i in range(60)}
    found = rows(analysed("degeneracy", plant(tmp_path, [Net(name="noise", state=state)])), "layer_quality")
    assert min(float(row["p_structured"]) for row in found) < 0.05  # type: ignore[arg-type]
    assert [row["verdict"] for row in found].count("random") == 60


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Three tasks with the same two architectures in the same numbers; the kernels of one are shifted."""
    nets = []
    for t, task in enumerate(("one", "two", "shifted")):
        for i in range(12):
            spectrum = (SMOOTH if i % 2 else EDGES) | (SHIFTED if task == "shifted" else {})
            name = "smooth" if i % 2 else "edges"
            nets.append(net(f"{task}{i}", spectrum, 100 * t + i, task=task, architecture=name, family=name))
    return analysed("drift", plant(tmp_path_factory.mktemp("shift"), nets), by=("task",), resamples=300)


def pair(found: Rows, a: str, b: str) -> dict[str, object]:
    return next(row for row in found if {row["group_a"], row["group_b"]} == {a, b})


@pytest.mark.parametrize("other", ["one", "two"])
def test_a_planted_shift_is_found(shift: Result, other: str) -> None:
    row = pair(rows(shift, "drift_task"), other, "shifted")
    assert row["verdict"] == "differs"
    assert 0 < float(row["low"]) <= float(row["estimate"]) <= float(row["high"])  # type: ignore[arg-type]
    assert float(row["drift"]) > 3 * float(row["floor"])  # type: ignore[arg-type]
    assert float(row["q"]) <= 0.05  # type: ignore[arg-type]
    for matched in rows(shift, "drift_matched_task"):
        if {matched["group_a"], matched["group_b"]} == {other, "shifted"}:
            assert matched["verdict"] == "differs"
            assert (matched["strata"], matched["fewest_models"], matched["most_models"]) == (2, 6, 6)


def test_groups_of_one_law_do_not_differ(shift: Result) -> None:
    row = pair(rows(shift, "drift_task"), "one", "two")
    assert row["verdict"] == "no difference found"
    assert row["low"] == 0
    found = pair(rows(shift, "drift_task"), "one", "shifted")
    assert 0 < float(row["detectable"]) < 1.25 * float(found["estimate"])  # type: ignore[arg-type]
    assert (row["models_a"], row["models_b"]) == (12, 12)
    assert any("2 of 3 pairs" in str(finding) and "shifted" in str(finding) for finding in shift.findings)


@pytest.fixture(scope="module")
def architectures(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Two tasks whose networks of one architecture are alike; one task has most of one, the other of the other."""
    nets = []
    for t, (task, smooth) in enumerate((("left", 12), ("right", 4))):
        for i in range(16):
            name = "smooth" if i < smooth else "edges"
            spectrum = SMOOTH if i < smooth else EDGES
            nets.append(net(f"{task}{i}", spectrum, 100 * t + i, task=task, architecture=name, family=f"{name}-family"))
    return analysed("drift", plant(tmp_path_factory.mktemp("architectures"), nets), by=("task",), resamples=300)


def test_groups_that_differ_by_architecture_alone_do_not_differ_once_matched(architectures: Result) -> None:
    plain = pair(rows(architectures, "drift_task"), "left", "right")
    assert plain["verdict"] == "differs"
    found = rows(architectures, "drift_matched_task")
    assert {row["matched_by"] for row in found} == {"architecture", "family"}
    for row in found:
        assert row["verdict"] == "no difference found"
        assert float(row["drift"]) < float(plain["drift"]) / 5  # type: ignore[arg-type]
        assert row["plain_drift"] == plain["drift"]
        assert (row["strata"], row["fewest_models"], row["most_models"]) == (2, 4, 12)


def test_identical_weights_count_once(tmp_path: Path) -> None:
    """A copy of a network under another name, with one layer of its own, brings that layer and nothing else."""
    first = net("first", SMOOTH, 1, task="a")
    copy = Net(
        name="second", state=first.state | {"own.weight": net("x", EDGES, 2).state["conv0.weight"]}, meta=first.meta
    )
    dataset = plant(tmp_path, [first, copy, net("third", EDGES, 3, task="b")])
    groups = rows(analysed("drift", dataset, by=("task",), resamples=0), "drift_groups")
    counted = {
        row["group"]: (row["layers"], row["kernels"], row["models"]) for row in groups if row["column"] == "task"
    }
    assert counted == {"a": (3, 3 * 256, 2), "b": (2, 2 * 256, 1)}


def test_the_seed_decides_what_is_drawn_and_nothing_else(tmp_path: Path) -> None:
    nets = [net(f"{task}{i}", SMOOTH, 10 * t + i, task=task) for t, task in enumerate("ab") for i in range(6)]
    dataset = plant(tmp_path, nets)
    one, same, other = (
        rows(analysed("drift", dataset, by=("task",), resamples=200, seed=seed), "drift_task") for seed in (1, 1, 2)
    )
    assert one == same
    assert one[0]["drift"] == other[0]["drift"]
    assert (one[0]["floor"], one[0]["estimate"]) == (other[0]["floor"], other[0]["estimate"])
    assert one[0]["p"] != other[0]["p"]


@pytest.mark.parametrize(
    "name", ["census", "degeneracy", "drift", "eigenkernels", "family", "influence", "initialization", "shape"]
)
def test_figures_can_be_drawn_and_show_tables_that_are_there(degenerate: Path, tmp_path: Path, name: str) -> None:
    few = [
        net(f"n{i}", EDGES, i, task=str(i % 2), family=None if i else "f", released=f"201{i}-01-01") for i in range(4)
    ]  # type: ignore[arg-type]
    for dataset in (degenerate, plant(tmp_path, few)):
        result = analysed(name, dataset, resamples=20)
        tables = {table.name for table in result.tables}
        assert len(tables) == len(result.tables)
        assert len({figure.name for figure in result.figures}) == len(result.figures)
        for figure in result.figures:
            assert figure.table in tables
            assert min(figure.basis.kernels, figure.basis.layers, figure.basis.models) > 0
            assert png(figure).startswith(b"\x89PNG")
        assert result.findings or result.note


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many networks, each a group of its own, that no figure shows them all."""
    return plant(tmp_path_factory.mktemp("many"), [net(f"net{i:02d}", SMOOTH, i) for i in range(25)])


def test_a_figure_that_shows_some_groups_says_of_how_many(many: Path) -> None:
    for name, figure, shown in (("census", "census_model_id", 20), ("eigenkernels", "ridges_model_id", 7)):
        drawn = next(f for f in analysed(name, many, by=("model_id",)).figures if f.name == figure)
        assert drawn.caption.endswith(f" The {shown} largest of 25 groups.")


def test_findings_do_not_claim_what_nothing_could_tell(many: Path) -> None:
    (found,) = analysed("drift", many, by=("model_id",)).findings
    assert str(found).startswith(
        "There is too little to tell whether 3x3 kernels differ in any of 300 pairs of groups by model id."
    )
    (held,) = analysed("census", many).findings
    assert "learned kernels of one size, 3x3, in " in str(held)
