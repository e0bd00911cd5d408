"""The analysis `accuracy` on planted networks: a correlation within families, one between them only, and none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from filtercrawl.api import CheckpointMetadata
from filtercrawl.api.analysis import Result
from filtercrawl_analysis.analyses.accuracy_findings import accuracy_findings
from filtercrawl_analysis.plots.render import png
from filtercrawl_analysis.statistics.accuracy.correlations import ALL, FALLS, NONE, RISES, UNCLEAR, WITHIN
from support.synthetic_datasets import Net, analysed, plant, rows

FAMILIES = 7
MEMBERS = 5
# Number of dead kernels, of 256, and accuracy of a member of a family, from their numbers.
Law = Callable[[int, int, np.random.Generator], tuple[int, float]]


def within(family: int, member: int, random: np.random.Generator) -> tuple[int, float]:
    """In each family, the fewer dead kernels, the better; better families have more of them."""
    return 4 + 30 * family + 5 * member, 50.0 + 6 * family - member + 0.3 * random.standard_normal()


def between(family: int, member: int, random: np.random.Generator) -> tuple[int, float]:
    """Better families have fewer dead kernels; within one, both vary without regard to each other."""
    return 200 - 30 * family + int(random.integers(0, 20)), 50.0 + 6 * family + random.standard_normal()


def unrelated(family: int, member: int, random: np.random.Generator) -> tuple[int, float]:
    return int(random.integers(0, 200)), 60.0 + 10 * random.standard_normal()


def network(family: int, member: int, law: Law, random: np.random.Generator) -> Net:
    dead, accuracy = law(family, member, random)
    weight = random.standard_normal((16, 16, 3, 3)).astype(np.float32)
    weight.reshape(256, 9)[:dead] *= 1e-4
    meta = CheckpointMetadata(
        family=f"family{family}", metrics={"ImageNet-1K": {"acc@1": accuracy}, "evidence": "planted"}
    )
    return Net(name=f"net{family}-{member}", state={"conv.weight": torch.from_numpy(weight)}, meta=meta)


def found(tmp_path: Path, law: Law) -> Result:
    random = np.random.default_rng(0)
    nets = [network(family, member, law, random) for family in range(FAMILIES) for member in range(MEMBERS)]
    return analysed("accuracy", plant(tmp_path, nets), resamples=2000)


def verdicts(result: Result, measure: str) -> dict[str, object]:
    return {
        str(row["scope"]): row["verdict"] for row in rows(result, "accuracy_correlation") if row["measure"] == measure
    }


def test_a_correlation_within_families_is_found_though_families_hide_it(tmp_path: Path) -> None:
    result = found(tmp_path, within)
    assert verdicts(result, "sparsity") == {ALL: RISES, WITHIN: FALLS}
    text = str(result.findings[0])
    assert text.startswith("Within families, acc@1 on imagenet-1k falls with ")
    of_families = [row for row in rows(result, "accuracy_families") if row["measure"] == "sparsity"]
    assert {row["family"]: row["models"] for row in of_families} == {f"family{i}": MEMBERS for i in range(FAMILIES)}
    assert all(float(str(row["rho"])) < -0.7 for row in of_families)
    assert all(png(figure).startswith(b"\x89PNG") for figure in result.figures)
    (model,) = [row for row in rows(result, "accuracy_models") if row["model_id"] == "acme/net1-2"]
    assert (model["sparsity"], model["evidence"]) == (pytest.approx(44 / 256), "planted")


def test_what_only_families_differ_in_is_said_not_to_hold_within_them(tmp_path: Path) -> None:
    result = found(tmp_path, between)
    assert verdicts(result, "sparsity")[ALL] == FALLS
    assert verdicts(result, "sparsity")[WITHIN] in (NONE, UNCLEAR)
    sentence = next(str(finding) for finding in result.findings if "share of dead kernels" in str(finding))
    assert sentence.startswith("Over all 35 models, acc@1 on imagenet-1k falls with the share of dead kernels")
    assert "within families" in sentence


def test_unrelated_numbers_are_not_found_to_be_related(tmp_path: Path) -> None:
    result = found(tmp_path, unrelated)
    assert {row["verdict"] for row in rows(result, "accuracy_correlation")} <= {NONE, UNCLEAR}
    (sentence,) = result.findings
    assert "0 differ from 0" in str(sentence)


def test_the_same_dataset_gives_the_same_numbers(tmp_path: Path) -> None:
    first, second = (found(tmp_path / name, within) for name in "ab")
    for a, b in zip(first.tables, second.tables, strict=True):
        assert a.rows.equals(b.rows)


def test_models_without_metrics_give_a_note(tmp_path: Path) -> None:
    nets = [Net(name="net", state={"conv.weight": torch.randn(4, 4, 3, 3)})]
    result = analysed("accuracy", plant(tmp_path, nets))
    assert not result.tables
    assert "no accuracy that 8 or more models state" in result.note


def test_a_correlation_of_which_nothing_is_known_within_families_says_so() -> None:
    base = {
        "metric": "top1", "measure": "sparsity", "scope": ALL, "verdict": RISES, "rho": 0.8, "low": 0.5, "high": 0.9,
        "p": 1e-3, "q": 1e-3, "models": 20, "families": None,
    }  # fmt: skip
    first, rest = accuracy_findings([base])
    assert first.text.endswith("too few models share a family to tell whether it does within families.")
    assert (
        rest.text == "1 rank correlation with stated accuracy tested, none within families: too few models share one."
    )
    weak = base | {"scope": WITHIN, "verdict": NONE, "rho": 0.0, "low": -0.2, "high": 0.2, "q": 0.9, "families": 5}
    assert "but not within families" in next(iter(accuracy_findings([base, weak]))).text


def test_layers_that_models_share_count_for_each_of_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    shared = torch.from_numpy(random.standard_normal((16, 16, 3, 3)).astype(np.float32))
    nets = []
    for member in range(8):
        head = torch.from_numpy((1 + member) * random.standard_normal((16, 16, 3, 3)).astype(np.float32))
        meta = CheckpointMetadata(family="one", metrics={"acc": 50.0 + member})
        nets.append(Net(name=f"net{member}", state={"stem.weight": shared, "head.weight": head}, meta=meta))
    result = analysed("accuracy", plant(tmp_path, nets), resamples=2000)
    measured = {row["model_id"]: row["weight_rms"] for row in rows(result, "accuracy_models")}
    for net in nets:
        both = torch.cat([weight.double().flatten() for weight in net.state.values()])
        assert measured[f"acme/{net.name}"] == pytest.approx(float(both.square().mean().sqrt()), rel=1e-6)
    # Models of a single family have no other ones to be compared with.
    assert {row["scope"] for row in rows(result, "accuracy_correlation")} == {WITHIN}
