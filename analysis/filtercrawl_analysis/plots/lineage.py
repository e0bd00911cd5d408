"""Trees of checkpoints: each with those that were made from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from filtercrawl_analysis.plots.names import label
from filtercrawl_analysis.plots.theme import SMALL, ink, muted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Rows of the figure, a checkpoint each.
_MAX_ROWS: Final = 48
_ROW_HEIGHT: Final = 0.24
# Inches: narrow, so that names can be read on a phone; room for a name of 32 characters; the widest generation.
WIDTH: Final = 5.2
_NAME_LENGTH: Final = 32
_NAME_WIDTH: Final = 2.5
_MAX_STEP: Final = 0.9
# Color and line style: relations that differ in color only would look alike in print.
_STYLES: Final = {
    "finetune": ("C0", "-"),
    "same": ("C2", "--"),
    "quantized": ("C1", ":"),
    "scaled": ("C8", (0, (3, 1, 1, 1))),
    "negated": ("C9", (0, (5, 3))),
    "pruned": ("C3", "-."),
    "permuted": ("C5", (0, (1, 1))),
    "partial": ("C6", (0, (5, 1, 1, 1, 1, 1))),
}
_OTHER: Final = ("C4", "-")


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A checkpoint that was made from no other one, and its descendants.

    Attributes:
        root: Its model_id.
        edges: `(parent, child, relation)` of each descendant.
    """

    root: str
    edges: tuple[tuple[str, str, str], ...]


def select_trees(rows: Sequence[Mapping[str, Any]]) -> list[Tree]:
    """Return the largest trees of a lineage that fit into the figure; of one that is too large, its first generations.

    Args:
        rows: `child`, `parent`, `relation`, `root` and `generation` of each descendant.
    """
    counts = Counter(row["root"] for row in rows)
    chosen: list[Tree] = []
    left = _MAX_ROWS
    for root, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count + 1 > left and chosen:
            continue
        own = sorted((row for row in rows if row["root"] == root), key=lambda row: (row["generation"], row["child"]))
        edges = tuple((row["parent"], row["child"], row["relation"]) for row in own[: left - 1])
        chosen.append(Tree(root=root, edges=edges))
        left -= len(edges) + 1
    return chosen


def layout_height(trees: Sequence[Tree]) -> float:
    """Return the height of the figure in inches."""
    return 1.0 + _ROW_HEIGHT * sum(len(tree.edges) + 2 for tree in trees)


def draw_trees(canvas: Figure, trees: Sequence[Tree]) -> None:
    """Draw trees below each other, generations from left to right."""
    axes = canvas.add_subplot()
    row = 0.0
    deepest = 0
    for tree in trees:
        children: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for parent, child, relation in tree.edges:
            children[parent].append((child, relation))
        row, depth = _draw_branch(axes, tree.root, children, (0, row))
        deepest = max(deepest, depth)
        row += 1
    axes.set_ylim(row - 0.5, -0.8)
    step = min(_MAX_STEP, (WIDTH - _NAME_WIDTH) / max(deepest, 1))
    axes.set_xlim(-0.1, WIDTH / step - 0.1)
    axes.axis("off")
    relations = dict.fromkeys(relation for tree in trees for *_, relation in tree.edges)
    for relation in relations:
        color, style = _STYLES.get(relation, _OTHER)
        axes.plot([], [], color=color, ls=style, lw=1.8, label=relation)
    canvas.legend(loc="outside lower center", ncols=min(3, len(relations)))


def _draw_branch(
    axes: Axes, name: str, children: Mapping[str, Sequence[tuple[str, str]]], place: tuple[int, float]
) -> tuple[float, int]:
    """Draw a checkpoint and all that were made from it; returns the next free row and the deepest generation."""
    generation, row = place
    axes.plot(generation, row, "o", color=ink(), ms=4)
    axes.text(generation + 0.06, row, label(name, _NAME_LENGTH), va="center", fontsize=SMALL, color=ink())
    following, deepest = row + 1, generation
    for child, relation in sorted(children.get(name, ())):
        color, style = _STYLES.get(relation, _OTHER)
        axes.plot([generation, generation], [row, following], color=muted(), lw=0.8, zorder=0)
        axes.plot([generation, generation + 1], [following, following], color=color, ls=style, zorder=1)
        following, depth = _draw_branch(axes, child, children, (generation + 1, following))
        deepest = max(deepest, depth)
    return following, deepest
