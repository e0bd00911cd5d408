"""The sentences on training runs say what the steps have in common, and nothing that two steps cannot tell."""

from __future__ import annotations

from typing import Any

from filtercrawl_analysis.analyses.training_findings import training_findings

Row = dict[str, Any]


def step(number: int, drift: float, layers: int = 1) -> Row:
    return {"run_id": "run", "step": number, "drift_from_first": drift, "floor": 0.1, "layers": layers}


def layer(name: str, number: int, entropy: float, dead: float = 0.0) -> Row:
    return {
        "run_id": "run",
        "step": number,
        "layer": name.partition("@")[0],
        "layer_id": f"local/step-{number}#{name}",
        "kernel": "3x3",
        "n_kernels": 10,
        "variance_entropy_norm": entropy,
        "sparsity": dead,
    }


def texts(rows: list[Row], layers: list[Row]) -> list[str]:
    return [str(finding) for finding in training_findings(rows, layers)]


def test_two_steps_tell_nothing_of_the_way_between_them() -> None:
    drift, _ = texts([step(0, 0), step(9, 1)], [layer("a", 0, 0.9), layer("a", 9, 0.5)])
    assert drift == "Run run, 2 steps from 0 to 9: the kernels drift by 1 (mean over kernels; two draws of one " + (
        "distribution: 0.1)."
    )
    (sentence, _) = texts([step(0, 0), step(4, 0.6), step(9, 1)], [layer("a", 0, 0.9), layer("a", 9, 0.5)])
    assert sentence.endswith("Half of it is reached at step 4, nine tenths at step 9.")


def test_entropy_is_compared_of_layers_that_both_steps_have() -> None:
    rows = [step(0, 0), step(9, 1, layers=3)]
    layers = [layer("a", 0, 0.9), *(layer(name, 9, value) for name, value in (("a", 0.9), ("b", 0.1), ("c", 0.2)))]
    assert texts(rows, layers)[1] == (
        "Run run: the variance entropy stays at 0.900; the share of dead kernels stays at 0.0% (entropy: of 1, median "
        "over layers that both steps have)."
    )


def test_kernel_sets_of_one_bank_are_layers_of_their_own() -> None:
    entropies = {"a@0": (0.9, 0.6), "a@1": (0.7, 0.4)}
    layers = [
        layer(name, number, value)
        for name, pair in entropies.items()
        for number, value in zip((0, 9), pair, strict=True)
    ]
    assert texts([step(0, 0), step(9, 1, layers=2)], layers)[1] == (
        "Run run: the variance entropy falls from 0.800 to 0.500; the share of dead kernels stays at 0.0% (entropy: of "
        "1, median over layers)."
    )


def test_changes_are_named_with_their_direction() -> None:
    layers = [layer("a", 0, 0.9, 0.5), layer("a", 9, 0.5, 0.6)]
    assert texts([step(0, 0), step(9, 1)], layers)[1] == (
        "Run run: the variance entropy falls from 0.900 to 0.500; the share of dead kernels rises from 50.0% to 60.0% "
        "(entropy: of 1, median over layers)."
    )
    assert len(texts([step(0, 0), step(9, 1)], [layer("a", 0, 0.9)])) == 1


def test_no_row_is_cited_twice() -> None:
    steps = [step(0, 0), step(4, 0.1), step(6, 0.95), step(9, 1)]
    (finding, _) = training_findings(steps, [layer("a", 0, 0.9), layer("a", 9, 0.5)])
    assert finding.rows == (3, 2)
    (finding, _) = training_findings([step(0, 0), step(4, 0.1), step(9, 1)], [layer("a", 0, 0.9), layer("a", 9, 0.5)])
    assert finding.rows == (2,)
