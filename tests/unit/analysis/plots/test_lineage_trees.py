"""Which trees of a lineage are drawn, and where."""

from __future__ import annotations

from matplotlib.figure import Figure

from filtercrawl_analysis.plots.lineage import WIDTH, draw_trees, layout_height, select_trees


def descendant(parent: str, child: str, relation: str, generation: int = 1) -> dict[str, object]:
    root = parent if generation == 1 else f"{parent[0]}0"
    return {"child": child, "parent": parent, "relation": relation, "root": root, "generation": generation}


def family(root: str, count: int) -> list[dict[str, object]]:
    return [descendant(root, f"{root}/{i}", "finetune" if i % 2 else "same") for i in range(count)]


def test_the_largest_trees_that_fit_are_drawn() -> None:
    trees = select_trees([*family("small", 2), *family("large", 30), *family("middle", 20)])
    assert [(tree.root, len(tree.edges)) for tree in trees] == [("large", 30), ("small", 2)]


def test_a_tree_that_is_too_large_is_drawn_in_part() -> None:
    (tree,) = select_trees([*family("small", 2), *family("huge", 500)])
    assert (tree.root, len(tree.edges)) == ("huge", 47)


def test_every_checkpoint_has_a_row_of_its_own_and_a_name_that_is_not_math() -> None:
    chain = [descendant(f"m{i}", f"m{i + 1}", "merge" if i else "pruned", i + 1) for i in range(9)]
    trees = select_trees([*chain, *family("a$b$c", 3)])
    canvas = Figure(figsize=(WIDTH, layout_height(trees)), layout="constrained")
    draw_trees(canvas, trees)
    canvas.draw_without_rendering()
    texts = canvas.axes[0].texts
    assert len({text.get_position()[1] for text in texts}) == len(texts) == 14
    assert [text.get_text() for text in texts][:2] == ["m0", "m1"]
    assert {text.get_text() for text in canvas.legends[0].get_texts()} == {"pruned", "merge", "finetune", "same"}
