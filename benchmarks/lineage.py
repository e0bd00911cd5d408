"""Measure how many planted relations of checkpoints the analysis `lineage` finds, and how many it invents.

python benchmarks/lineage.py FOLDER [FAMILIES]     54 families by default; writes lineage.md beside this file

Needs scikit-learn for its digits. Families are trained into FOLDER/families, about a minute each on one core, and
kept. A third of them fits the models of descent, whose coefficients are printed; a third was looked at while the method
was chosen; the report is of the last third.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lineage_families import make_families
from scipy.optimize import minimize

import filtercrawl
from filtercrawl.api.analysis import AnalysisOptions
from filtercrawl_analysis.data.dataset_view import FolderDatasetView
from filtercrawl_analysis.statistics.lineage import family_tree
from filtercrawl_analysis.statistics.lineage.descent import DescentFeatures
from filtercrawl_analysis.statistics.lineage.edges import family_squares
from filtercrawl_analysis.statistics.lineage.models import lineage_models
from filtercrawl_analysis.statistics.lineage.pairs import ModelPair, PairComparison

REPORT = Path(__file__).with_suffix(".md")
TRAINED = ("root", "tuned", "tuned-long", "tuned-again", "other-order", "other-task-same-init")
ANCESTORS = {("root", "tuned"), ("root", "tuned-long"), ("root", "tuned-again"), ("tuned", "tuned-again")}
Array = np.ndarray
INTRODUCTION = """\
{families} families of small networks that were trained on scikit-learn's digits. A third of them fitted the models
of descent, a third was looked at while the method was chosen, and the last third is what follows: `python
benchmarks/lineage.py FOLDER`. Each has a root, three networks that were trained on from it or from one another,
copies in half precision, in 8-bit codes, with pruned weights and with permuted channels, and one that keeps its
first layers. Four are nobody's children: of another seed, distilled, and two of the same initialization. Files have
no dates and no cards: the direction is to be found from the weights. The analysis of {checkpoints} checkpoints took
{seconds:.0f} s of one core."""


@dataclass(frozen=True)
class Edge:
    child: str
    parent: str
    relation: str
    probability: float = 1.0


def main(folder: Path, families: int = 54) -> None:
    make_families(range(families), folder / "families")
    fitted, tested = range(families // 3), range(families - families // 3, families)
    fit_models(synced(folder, fitted, "fitted"), fitted)
    dataset = synced(folder, tested, "tested")
    started = time.process_time()
    report = filtercrawl.analyze(dataset, only=["lineage"], progress=False)
    seconds = time.process_time() - started
    found = [
        Edge(row["child"], row["parent"], row["relation"], row["probability"])
        for row in report.tables["lineage"].to_pylist()
    ]
    REPORT.write_text(written(list(planted(folder, tested)), found, families, seconds), "utf-8")
    sys.stdout.write(REPORT.read_text("utf-8"))


def synced(folder: Path, numbers: Iterable[int], name: str) -> Path:
    dataset = folder / name
    selectors = [f"local:{folder / 'families' / f'{number:03d}'} as={number:03d}" for number in numbers]
    filtercrawl.sync(*selectors, dataset=dataset, device="cpu", progress=False)
    return dataset


def planted(folder: Path, numbers: Iterable[int]) -> Iterator[Edge]:
    for number in numbers:
        for edge in json.loads((folder / "families" / f"{number:03d}/edges.json").read_text()):
            yield Edge(model(number, edge["child"]), model(number, edge["parent"]), edge["relation"])


def model(number: int, name: str) -> str:
    return f"local/{number:03d}/{name}.safetensors"


def fit_models(dataset: Path, numbers: Iterable[int]) -> None:
    """Fit both models of descent to the trained networks of families, and print their coefficients."""
    view = FolderDatasetView(dataset, AnalysisOptions())
    comparison = PairComparison(view, lineage_models(view))
    pairs: list[tuple[Array, Array, int]] = []
    neighbors: list[tuple[Array, Array, int]] = []
    for number in numbers:
        members = sorted(model(number, name) for name in TRAINED)
        compared = [comparison.compare(a, b) for i, a in enumerate(members) for b in members[i + 1 :]]
        pairs += [labelled(pair, None) for pair in compared]
        squares = family_squares(compared)
        place = {name: i for i, name in enumerate(members)}
        distances = np.full((len(members), len(members)), np.nan)
        for (a, b), square in squares.items():
            distances[place[a], place[b]] = distances[place[b], place[a]] = square
        for i, j in family_tree.spanning_edges(distances):
            a, b = sorted((members[i], members[j]))
            pair = next(pair for pair in compared if (pair.a, pair.b) == (a, b))
            neighbors.append(labelled(pair, family_tree.branching(distances, place[a], place[b])))
    for name, rows in (("PAIR_MODEL", pairs), ("NEIGHBOR_MODEL", neighbors)):
        coefficients = fit(rows)
        print(name, tuple(np.round(coefficients, 2).tolist()))


def labelled(pair: ModelPair, side: float | None) -> tuple[Array, Array, int]:
    """Return the numbers for either parent, and which of both it is: 0, 1, or 2 for none."""
    a, b = (Path(name).stem for name in (pair.a, pair.b))
    features = DescentFeatures.of(pair.pairs)
    assert features is not None
    label = 0 if (a, b) in ANCESTORS else 1 if (b, a) in ANCESTORS else 2
    return features.vector("a", side), features.vector("b", side), label


def fit(rows: Sequence[tuple[Array, Array, int]]) -> Array:
    """Fit the multinomial model, children and siblings of equal weight, with a small ridge."""
    a, b = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
    labels = np.array([row[2] for row in rows])
    child = labels < 2
    weight = np.where(child, 0.5 / child.sum(), 0.5 / (~child).sum()) * len(rows)

    def loss(coefficients: Array) -> float:
        logits = np.stack([a @ coefficients, b @ coefficients, np.zeros(len(rows))], 1)
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return float(-(weight * logits[np.arange(len(rows)), labels]).sum() + 0.1 * (coefficients[1:] ** 2).sum())

    return minimize(loss, np.zeros(a.shape[1]), method="BFGS").x


def written(truth: Sequence[Edge], found: Sequence[Edge], families: int, seconds: float) -> str:
    parents = {edge.child: edge for edge in truth}
    right = [edge for edge in found if edge.child in parents and parents[edge.child].parent == edge.parent]
    exact = [edge for edge in right if parents[edge.child].relation == edge.relation]
    lines = [
        "# Planted families of checkpoints",
        "",
        INTRODUCTION.format(families=families, checkpoints=families // 3 * 16, seconds=seconds),
        "",
        f"- {len(truth)} planted relations, {len(found)} found, {len(right)} of them with the right parent: "
        f"precision {len(right) / len(found):.3f}, recall {len(right) / len(truth):.3f}.",
        f"- {len(exact)} of the {len(right)} with the right name of the relation.",
        "",
        "| at a probability of | precision | recall |",
        "|---|---|---|",
    ]
    for least in (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        kept = [edge for edge in found if edge.probability >= least]
        good = [edge for edge in right if edge.probability >= least]
        lines.append(f"| {least} | {len(good) / max(len(kept), 1):.3f} | {len(good) / len(truth):.3f} |")
    lines += [
        "",
        *_by_relation(parents, found, right),
        "",
        *_confusion(parents, found),
        "",
        *_calibration(found, right),
    ]
    return "\n".join(lines) + "\n"


def _by_relation(parents: dict[str, Edge], found: Sequence[Edge], right: Sequence[Edge]) -> Iterator[str]:
    yield "| relation | planted | found | right | precision | recall |"
    yield "|---|---|---|---|---|---|"
    for relation in sorted({edge.relation for edge in parents.values()}):
        planted_, found_, right_ = (
            sum(edge.relation == relation for edge in edges) for edges in (parents.values(), found, right)
        )
        shares = f"{right_ / max(found_, 1):.2f} | {right_ / planted_:.2f}"
        yield f"| {relation} | {planted_} | {found_} | {right_} | {shares} |"


def _confusion(parents: dict[str, Edge], found: Sequence[Edge]) -> Iterator[str]:
    """Yield the table of what was planted and what was found, with or without the right parent."""
    by_child = {edge.child: edge for edge in found}
    children = {*parents, *by_child}
    counts: Counter[tuple[str, str]] = Counter()
    wrong: Counter[str] = Counter()
    for child in children:
        truth = parents[child].relation if child in parents else f"no child: {Path(child).stem}"
        edge = by_child.get(child)
        counts[truth, "none" if edge is None else edge.relation] += 1
        if edge is not None and child in parents and edge.parent != parents[child].parent:
            wrong[truth] += 1
    columns = sorted({column for _, column in counts})
    yield f"| planted | {' | '.join(columns)} | wrong parent |"
    yield "|---|" + "---|" * (len(columns) + 1)
    for row in sorted({row for row, _ in counts}):
        yield f"| {row} | {' | '.join(str(counts[row, column] or '') for column in columns)} | {wrong[row] or ''} |"


def _calibration(found: Sequence[Edge], right: Sequence[Edge]) -> Iterator[str]:
    bins: dict[int, list[Edge]] = defaultdict(list)
    for edge in found:
        bins[min(9, int(edge.probability * 10))].append(edge)
    good = {edge.child for edge in right}
    yield "| stated probability | rows | mean | share that is right |"
    yield "|---|---|---|---|"
    for number, edges in sorted(bins.items()):
        share = sum(edge.child in good for edge in edges) / len(edges)
        mean = np.mean([edge.probability for edge in edges])
        yield f"| {number / 10:.1f} to {number / 10 + 0.1:.1f} | {len(edges)} | {mean:.2f} | {share:.2f} |"


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
