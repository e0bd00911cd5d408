"""Which layers of two checkpoints correspond."""

from __future__ import annotations

from dataclasses import dataclass

from filtercrawl_analysis.statistics.lineage.layer_matching import match_layers


@dataclass(frozen=True)
class Named:
    tensor: str
    shape: tuple[int, ...]


def test_names_come_first_then_the_order_among_layers_of_a_shape() -> None:
    a = [
        Named("stem", (8, 3, 3, 3)),
        Named("x.0", (8, 8, 3, 3)),
        Named("x.1", (8, 8, 3, 3)),
        Named("lost", (1, 8, 5, 5)),
    ]
    b = [
        Named("stem", (8, 3, 3, 3)),
        Named("y.0", (8, 8, 3, 3)),
        Named("y.1", (8, 8, 3, 3)),
        Named("new", (2, 8, 5, 5)),
    ]
    matches = match_layers(a, b)
    assert matches.pairs == ((0, 0, "name"), (1, 1, "shape and order"), (2, 2, "shape and order"))
    assert (matches.only_a, matches.only_b) == ((3,), (3,))


def test_a_name_with_another_shape_is_no_match() -> None:
    matches = match_layers([Named("head", (10, 8, 1, 1))], [Named("head", (2, 8, 1, 1))])
    assert (matches.pairs, matches.only_a, matches.only_b) == ((), (0,), (0,))


def test_different_numbers_of_a_shape_are_not_matched_by_order() -> None:
    a = [Named("a", (8, 8, 3, 3)), Named("b", (8, 8, 3, 3))]
    assert match_layers(a, [Named("c", (8, 8, 3, 3))]).pairs == ()
