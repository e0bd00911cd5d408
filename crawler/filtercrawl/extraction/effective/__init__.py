"""The kernels that a network convolves with, as recipes from the stored ones."""

from filtercrawl.extraction.effective.apply import effective_bias, effective_weight
from filtercrawl.extraction.effective.plan import RecipePlan, bn_folded, plan_recipes
from filtercrawl.extraction.effective.recipe import ASSUMED_EPS, LayerKey, Norm, Recipe, Step, Term

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
