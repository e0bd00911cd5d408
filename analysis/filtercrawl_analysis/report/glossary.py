"""The words of the page for somebody who has never seen the project. Their text is that of docs/glossary.md."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "kernel": "one spatial slice of a convolution's weight, for one pair of output and input channel; CNN Filter DB "
    "calls it a filter",
    "filter": "the kernels of one output channel",
    "layer": "the weight of one convolution; a row of `index`, one or several rows of `layers`",
    "taps": "spatial positions of a kernel: 9 for 3x3",
    "checkpoint": "one set of trained weights at one revision: a file, or several that belong together",
    "sketch": "mergeable statistics of a layer, computed when it is written",
    "drift": "the divergence between two groups' distributions of kernel coefficients",
    "floor": "the drift to be expected between equal distributions, from so few models and kernels",
    "detectable": "the smallest drift that a comparison of such groups would most likely have found",
    "95 % interval": "a range that holds the true value in 95 of 100 such datasets; models are the unit that varies",
    "p, q": "how often chance alone would give as clear a result, and the same adjusted for the number of tests; at "
    "most 0.05 is called significant",
    "principal component": "a direction in which the kernels of a size vary, the first the one in which they vary "
    "most; also called an eigenkernel",
    "coefficient": "how much of a principal component, or of another basis, a kernel holds",
    "sparsity": "the share of a layer's kernels that are dead: no weight above a hundredth of the layer's largest "
    "magnitude",
    "variance entropy": "how evenly the variance of a layer's kernels is spread over its principal components: near 1 "
    "of its largest value for random kernels, low where a few patterns repeat",
    "orthogonality": "how little the filters of a layer resemble each other: 1 where none has a component along "
    "another",
    "degenerate layer": "a layer with many dead, nearly equal or unstructured kernels",
    "verdict": "what the analyses call a layer, or a model by its layers: `ok`, `dead`, `random`, `too small` and "
    "others",
    "named form": "what a depthwise kernel looks like, by the template that it correlates with: on-center, "
    "derivative, offset and others",
    "lineage": "which checkpoint was made from which: copied, rounded, pruned or trained on",
    "group": "layers that share a value, for example of `task`",
}
