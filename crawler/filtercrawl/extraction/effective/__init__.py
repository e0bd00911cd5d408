"""The kernels that a network convolves with, as recipes from the stored ones."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from filtercrawl.extraction.effective.apply import effective_bias, effective_weight
from filtercrawl.extraction.effective.recipe import ASSUMED_EPS, LayerKey, Norm, Recipe, Step, Term

if TYPE_CHECKING:
    from filtercrawl.extraction.effective.plan import RecipePlan, bn_folded, plan_recipes

__all__ = [
    "ASSUMED_EPS",
    "LayerKey",
    "Norm",
    "Recipe",
    "RecipePlan",
    "Step",
    "Term",
    "bn_folded",
    "effective_bias",
    "effective_weight",
    "plan_recipes",
]

_OF_PLAN: Final = frozenset({"RecipePlan", "bn_folded", "plan_recipes"})


def __getattr__(name: str) -> Any:
    """Import what finds recipes on first use: it imports torch, and whoever loads effective weights needs none."""
    if name not in _OF_PLAN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.plan"), name)
