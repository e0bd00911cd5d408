"""The analysis `lineage`: which checkpoints of the dataset were made from which, by their weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from threadpoolctl import threadpool_limits

from filtercrawl.api.analysis import DatasetView, Figure, Result, ResultTable, SampleSize
from filtercrawl_analysis.analyses.lineage_findings import lineage_findings
from filtercrawl_analysis.analyses.registry import empty_result
from filtercrawl_analysis.plots.lineage import WIDTH, Tree, draw_trees, layout_height, select_trees
from filtercrawl_analysis.statistics.lineage.candidates import candidate_pairs
from filtercrawl_analysis.statistics.lineage.edges import LineageEdge, lineage_edges
from filtercrawl_analysis.statistics.lineage.models import lineage_models
from filtercrawl_analysis.statistics.lineage.pairs import ModelPair, PairComparison
from filtercrawl_analysis.statistics.lineage.relation import combined_z, mean_correlation

_LINEAGE: Final = pa.schema(
    [
        ("child", pa.string()),
        ("parent", pa.string()),
        ("relation", pa.string()),
        ("probability", pa.float64()),
        ("evidence", pa.string()),
        ("root", pa.string()),
        ("generation", pa.int64()),
        ("common_layers", pa.int64()),
        ("equal_layers", pa.int64()),
        ("distance", pa.float64()),
    ]
)
_PAIRS: Final = pa.schema(
    [
        ("model_a", pa.string()),
        ("model_b", pa.string()),
        ("relation", pa.string()),
        ("parent", pa.string()),
        ("probability", pa.float64()),
        ("evidence", pa.string()),
        ("common_layers", pa.int64()),
        ("equal_layers", pa.int64()),
        ("compared_layers", pa.int64()),
        ("correlation", pa.float64()),
        ("z", pa.float64()),
        ("distance", pa.float64()),
    ]
)
_ABOUT: Final = (
    "One row for each checkpoint that was made from another one. same: equal weights, maybe rounded to half precision; "
    "scaled: each layer times a factor; negated: with the other sign; "
    "quantized: the parent's weights rounded to evenly spaced codes; pruned: with further zeros; permuted: with "
    "channels in another order; finetune: trained on; partial: some layers are the parent's, the others unrelated. "
    "probability: that relation, parent and direction are right. root: the first ancestor, generation: steps from it. "
    "distance: root mean square over the compared layers of |a - b| / sqrt(|a| |b|)."
)
_ABOUT_PAIRS: Final = (
    "Pairs of checkpoints that are related, whichever was first. sibling: both come from one initialization or one "
    "ancestor, and neither from the other. correlation: of the filters without their mean filter, position by "
    "position; z: in standard deviations of what permuted filters give. parent and probability are what the two alone "
    "tell; the table lineage also uses the rest of their family, dates and cards."
)


def analyze(dataset: DatasetView) -> Result:
    """Find the checkpoints that were made from others: candidates by signatures, then a comparison of each pair.

    Stored weights are compared, whatever the view: copies are equal in these.
    """
    # Matrices are small: threads cost more than they save, and would change the last digits.
    with threadpool_limits(1, user_api="blas"):
        return _analyze(dataset.with_view("raw"))


def _analyze(dataset: DatasetView) -> Result:
    models, duplicates = lineage_models(dataset), list(_duplicates(dataset))
    n_models = len({*models, *(edge.child for edge in duplicates)})
    if n_models < 2:
        return empty_result("fewer than two models with learned kernels")
    cards = stated_parents(dataset.models, models)
    known = [(child, parent) for child, parent in cards if parent in models]
    comparison = PairComparison(dataset, models)
    pairs: list[ModelPair] = []
    candidates = candidate_pairs(dataset, models, known)
    for number, (a, b) in enumerate(candidates):
        dataset.progress(number, len(candidates), "pairs of models")
        pairs.append(comparison.compare(a, b))
    edges = [*lineage_edges(pairs, _dates(dataset), cards), *duplicates]
    lineage = _lineage_table(sorted(edges, key=lambda edge: edge.child))
    related = [pair for pair in pairs if pair.judgement.relation != "none"]
    tables = (
        ResultTable(name="lineage", title="Which checkpoint was made from which", rows=lineage, about=_ABOUT),
        ResultTable(name="related_models", title="Related models", rows=_pair_table(related), about=_ABOUT_PAIRS),
    )
    size = SampleSize(
        kernels=sum(shape[0] * shape[1] for layers in models.values() for shape in (layer.shape for layer in layers)),
        layers=sum(map(len, models.values())),
        models=len(models),
    )
    return Result(
        tables=tables,
        figures=tuple(_figures(lineage, size)),
        findings=tuple(lineage_findings(lineage, n_models)),
    )


def stated_parents(rows: pa.Table, models: Collection[str]) -> dict[tuple[str, str], str]:
    """Return what cards state of base models.

    Args:
        rows: The table `models`; `extra` has `parents`, repositories of the Hub, and `parent_relation`.
        models: The models whose lineage is asked for.

    Returns:
        The relation by child and parent: a model of the dataset, or the name of the repository where the dataset has
        none or several of it.
    """
    by_repository: dict[str, list[str]] = {}
    for name in models:
        source, _, path = name.partition("/")
        if source == "hub":
            by_repository.setdefault("/".join(path.split("/")[:2]), []).append(name)
    stated = {}
    for row in rows.select(["model_id", "extra"]).to_pylist():
        extra = json.loads(row["extra"] or "{}")
        if row["model_id"] not in models or not isinstance(extra, dict):
            continue
        for repository in extra.get("parents") or ():
            parents = by_repository.get(repository, [repository])
            parent = parents[0] if len(parents) == 1 else repository
            if parent != row["model_id"]:
                stated[row["model_id"], parent] = extra.get("parent_relation") or "finetune"
    return stated


def _dates(dataset: DatasetView) -> dict[str, str]:
    """Return the dates of release that sources state."""
    rows = dataset.models.select(["model_id", "released"]).to_pylist()
    return {row["model_id"]: row["released"] for row in rows if row["released"]}


def _duplicates(dataset: DatasetView) -> Iterator[LineageEdge]:
    """Yield checkpoints whose tensors are all those of another one."""
    rows = dataset.models.filter(pc.is_valid(dataset.models["duplicate_of"]))
    for row in rows.select(["model_id", "duplicate_of"]).to_pylist():
        yield LineageEdge(
            child=row["model_id"],
            parent=row["duplicate_of"],
            relation="same",
            probability=0.5,
            evidence="all tensors are equal; nothing tells the direction",
        )


def _lineage_table(edges: Sequence[LineageEdge]) -> pa.Table:
    parents = {edge.child: edge.parent for edge in edges}
    rows = []
    for edge in edges:
        root, generation, seen = edge.parent, 1, {edge.child}
        while root in parents and root not in seen:
            seen.add(root)
            root, generation = parents[root], generation + 1
        rows.append(
            {
                "child": edge.child,
                "parent": edge.parent,
                "relation": edge.relation,
                "probability": edge.probability,
                "evidence": edge.evidence,
                "root": root,
                "generation": generation,
                "common_layers": None if edge.pair is None else edge.pair.common,
                "equal_layers": None if edge.pair is None else edge.pair.equal,
                "distance": None if edge.pair is None else edge.pair.distance,
            }
        )
    return pa.Table.from_pylist(rows, schema=_LINEAGE)


def _pair_table(pairs: Sequence[ModelPair]) -> pa.Table:
    rows = [
        {
            "model_a": pair.a,
            "model_b": pair.b,
            "relation": pair.judgement.relation,
            "parent": pair.parent,
            "probability": pair.judgement.probability,
            "evidence": pair.judgement.evidence,
            "common_layers": pair.common,
            "equal_layers": pair.equal,
            "compared_layers": len(pair.layers),
            "correlation": mean_correlation(pair.pairs),
            "z": combined_z(pair.pairs),
            "distance": pair.distance,
        }
        for pair in pairs
    ]
    return pa.Table.from_pylist(rows, schema=_PAIRS)


def _figures(lineage: pa.Table, size: SampleSize) -> Iterator[Figure]:
    trees: list[Tree] = select_trees(lineage.to_pylist())
    if trees:
        shown = sum(len(tree.edges) for tree in trees)
        rest = "" if shown == len(lineage) else f" The largest trees, with {shown:,} of {len(lineage):,} descendants."
        yield Figure(
            name="lineage",
            title="Trees of checkpoints",
            caption="A line leads from each checkpoint, left, to those that were made from it; its color and pattern "
            f"tell how.{rest}",
            basis=size,
            table="lineage",
            draw=partial(draw_trees, trees=trees),
            width=WIDTH,
            height=layout_height(trees),
        )
