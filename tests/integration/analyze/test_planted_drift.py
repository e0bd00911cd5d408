"""Drift planted between groups, and none: what the table must say, and the sentence on the page."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest

from filtercrawl.api import CheckpointMetadata
from filtercrawl.api.analysis import Finding, Result
from filtercrawl_analysis.numerics.dct_basis import BINS, dct_basis, histogram_range
from filtercrawl_analysis.statistics.drift.divergence import paired_drift
from support.synthetic_datasets import EDGES, SMOOTH, Net, Rows, analysed, kernels, plant, rows

# Six groups of six networks: the first two have one law, and the next two; all others differ.
LAWS: Mapping[str, Mapping[int, float]] = {
    "ant": SMOOTH,
    "bee": SMOOTH,
    "cat": {0: 0.6, 1: 0.6, 3: 0.3},
    "dog": {0: 0.6, 1: 0.6, 3: 0.3},
    "eel": {0: 1.0, 1: 0.3, 3: 0.3, 2: 0.4, 4: 0.4},
    "fox": {0: 0.8, 1: 0.3, 3: 0.3, 8: 0.4},
}


def network(name: str, spectrum: Mapping[int, float], shape: tuple[int, int, int], spread: float, **meta: str) -> Net:
    """A network of 3x3 layers, from one to another with its own scale of each part of the spectrum.

    shape: layers, output channels, input channels.
    """
    layers, outputs, inputs = shape
    random = np.random.default_rng([ord(c) for c in name])
    mine = {row: deviation * float(np.exp(spread * random.standard_normal())) for row, deviation in spectrum.items()}
    state = {
        f"conv{i}.weight": kernels(random, mine, outputs * inputs).reshape(outputs, inputs, 3, 3) for i in range(layers)
    }
    return Net(name=name, state=state, meta=CheckpointMetadata(**meta))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Result:
    nets = [
        network(f"{task}{i}", spectrum, (1, 16, 32), 0.1, task=task)
        for task, spectrum in LAWS.items()
        for i in range(6)
    ]
    # Equal laws, sizes 1 : 96, as of small and large architectures.
    nets += [network(f"small{i}", SMOOTH, (1, 8, 8), 0.1, library="small") for i in range(8)]
    nets += [network(f"large{i}", SMOOTH, (3, 32, 64), 0.1, library="large") for i in range(8)]
    # Equal laws on average of which one group varies five times as much.
    nets += [network(f"even{i}", EDGES, (1, 16, 32), 0.05, tag="even") for i in range(8)]
    nets += [network(f"varied{i}", EDGES, (1, 16, 32), 0.25, tag="varied") for i in range(8)]
    dataset = plant(tmp_path_factory.mktemp("planted"), nets)
    return analysed("drift", dataset, by=("task", "library", "tag"))


def pair(found: Rows, a: str, b: str) -> dict[str, object]:
    return next(row for row in found if {row["group_a"], row["group_b"]} == {a, b})


def finding(result: Result, table: str) -> Finding:
    return next(f for f in result.findings if isinstance(f, Finding) and f.table == table)


def test_13_of_15_pairs_differ_and_the_sentence_says_so(planted: Result) -> None:
    found = rows(planted, "drift_task")
    verdicts = {frozenset((str(r["group_a"]), str(r["group_b"]))): r["verdict"] for r in found}
    same = {frozenset(("ant", "bee")), frozenset(("cat", "dog"))}
    assert {groups for groups, verdict in verdicts.items() if verdict != "differs"} == same
    assert {verdicts[groups] for groups in same} == {"no difference found"}
    said = finding(planted, "drift_task")
    lead = "3x3 kernels differ in 13 of 15 pairs of groups by task (q <= 0.05, 15 tests). "
    assert said.text.startswith(f"{lead}The largest of these differences is between ")
    assert said.text.endswith(" In 2 of 15 no difference was found.")
    assert said.row is not None
    row = found[said.row]
    assert row["estimate"] == max(float(r["estimate"]) for r in found)  # type: ignore[arg-type]
    groups = f"{row['group_a']} (6 models, 3,072 kernels) and {row['group_b']} (6 models, 3,072 kernels): D = "
    assert groups in said.text
    assert f"95 % interval {row['low']:.2g} to {row['high']:.2g}; q = {row['q']:.2g}" in said.text


def test_groups_that_differ_in_size_alone_do_not_differ(planted: Result) -> None:
    (row,) = rows(planted, "drift_library")
    assert (row["kernels_a"], row["kernels_b"]) == (8 * 6144, 8 * 64)
    assert row["verdict"] == "no difference found"
    # D is large, for no other reason than the size of the small group.
    assert float(row["drift"]) > 0.1  # type: ignore[arg-type]
    assert float(row["drift"]) == pytest.approx(float(row["floor"]), rel=0.4)  # type: ignore[arg-type]
    assert (row["low"], row["tested_kernels"]) == (0, 64)
    text = finding(planted, "drift_library").text
    assert text.startswith("No difference was found between 3x3 kernels of the two groups by library (1 test): ")
    assert re.search(r"D = 0\.\d+ where equal distributions would give 0\.\d+;", text)
    assert text.endswith(f"A drift of {row['detectable']:.2g} would have been found with a probability of 80 %.")


def test_groups_that_differ_in_spread_alone_do_not_differ(planted: Result) -> None:
    (row,) = rows(planted, "drift_tag")
    assert row["verdict"] == "no difference found"
    assert "No difference was found" in finding(planted, "drift_tag").text


def mean_distribution(spectrum: Mapping[int, float], seed: int) -> np.ndarray:
    """Return the mean distribution of 200 networks of 2,000 kernels, [components, bins]."""
    random, basis = np.random.default_rng(seed), dct_basis((3, 3))
    low, high = histogram_range(9)
    counts = np.zeros((9, BINS))
    for _ in range(200):
        mine = {row: deviation * float(np.exp(0.1 * random.standard_normal())) for row, deviation in spectrum.items()}
        drawn = kernels(random, mine, 2000).numpy().reshape(-1, 9).astype(np.float64)
        coefficients = drawn / np.abs(drawn).max(1, keepdims=True) @ basis.T
        bins = np.clip(((coefficients - low) / (high - low) * BINS).astype(np.int64), 0, BINS - 1)
        counts += np.array([np.bincount(column, minlength=BINS) for column in bins.T])
    filled: np.ndarray = (counts + 0.01) / (counts + 0.01).sum(1, keepdims=True)
    return filled


def test_intervals_cover_drifts_that_are_known(planted: Result) -> None:
    weights = np.array([row["weight"] for row in rows(planted, "drift_basis")])
    laws = {name: mean_distribution(LAWS[name], i) for i, name in enumerate(("ant", "cat", "eel", "fox"))}
    found = rows(planted, "drift_task")
    covered = 0
    pairs = [(a, b) for a in laws for b in laws if a < b]
    for a, b in pairs:
        true = float(paired_drift(laws[a], laws[b], weights))
        row = pair(found, a, b)
        covered += float(row["low"]) <= true <= float(row["high"])  # type: ignore[arg-type]
        assert float(row["estimate"]) == pytest.approx(true, rel=0.25)  # type: ignore[arg-type]
    assert covered >= len(pairs) - 1


def test_every_finding_is_derived_from_a_row(planted: Result) -> None:
    for said in planted.findings:
        assert isinstance(said, Finding)
        assert said.table is not None
        assert said.row is not None
        row = rows(planted, said.table)[said.row]
        assert f"{row['group_a']} (" in said.text
        assert f"{row['group_b']} (" in said.text
