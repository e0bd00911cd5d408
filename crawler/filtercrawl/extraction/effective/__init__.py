"""The kernels that a network convolves with, as recipes from the stored ones.

`plan` makes recipes of the tensors of a checkpoint; it is not imported here, as it imports torch.
"""

from filtercrawl.extraction.effective.apply import effective_bias, effective_weight
from filtercrawl.extraction.effective.recipe import ASSUMED_EPS, LayerKey, Norm, Recipe, Step, Term

__all__ = [
    "ASSUMED_EPS",
    "LayerKey",
    "Norm",
    "Recipe",
    "Step",
    "Term",
    "effective_bias",
    "effective_weight",
]
