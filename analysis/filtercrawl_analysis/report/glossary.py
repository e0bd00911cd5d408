"""The words of the page for somebody who has never seen the project. Their text is that of docs/glossary.md."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

WORDS: Final = {
    "kernel": "one spatial slice of a convolution's weight, for one pair of output and input channel; CNN Filter DB "
    "calls it a filter",
    "filter": "the kernels of one output channel",
    "layer": "the weight of one convolution; a row of `index`, one or several rows of `layers`",
    "taps": "spatial positions of a kernel: 9 for 3x3",
    "checkpoint": "one set of trained weights at one revision: a file, or several that belong together",
    "sketch": "mergeable statistics of a layer, computed when it is written",
    "drift": "D, the divergence between two groups' distributions of kernel coefficients: 0 where they are equal",
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
    "verdict": "what the analyses call a layer: `dead`, `repeated`, `outliers`, `near copies`, `ok`, `too small` or "
    "`random`",
    "named form": "what a depthwise kernel looks like, by the template that it correlates with: on-center, "
    "derivative, offset and others",
    "lineage": "which checkpoint was made from which: copied, rounded, pruned or trained on",
    "depth decile": "the tenth of a network's depth in which a layer lies, from 0, the first, to 9, the last",
    "group": "layers that share a value, for example of `task`",
}

# Words that everybody knows after one look at the list; links on each would be noise.
_PLAIN: Final = frozenset({"kernel", "filter", "layer", "taps", "checkpoint", "group", "verdict"})
_LINKED: Final = {form: word for word in WORDS for form in re.split(", ", word) if word not in _PLAIN and len(form) > 1}
_PATTERN: Final = re.compile(
    # Of ASCII letters alone: others that a pattern takes for the same, such as a long s, are no part of a word.
    rf"(?<![\w/.#-])((?ai:{'|'.join(sorted(map(re.escape, _LINKED), key=len, reverse=True))}))(?![\w/.#-])"
)
_CODE: Final = re.compile("`([^`]+)`")


def word_anchor(word: str) -> str:
    """Return the id of a word on the page."""
    return "word-" + re.sub(r"\W+", "-", word).strip("-")


def link_words(text: str) -> Markup:
    """Return text as HTML with a link from the first occurrence of each word to its meaning."""
    seen: set[str] = set()
    parts: list[str] = []
    end = 0
    for match in _PATTERN.finditer(text):
        word = _LINKED[match[0].lower()]
        if word not in seen:
            seen.add(word)
            parts += [
                escape(text[end : match.start()]),
                Markup('<a class="word" href="#{}">{}</a>').format(word_anchor(word), match[0]),
            ]
            end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def format_code(text: str) -> Markup:
    """Return text as HTML with what stands between backticks as code."""
    parts = _CODE.split(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if position % 2 else escape(part) for position, part in enumerate(parts)
    )
