"""Sentences at the top of the page: which layers were analyzed, by what they were compared, and how many tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Reasons for which layers are left out, in the order in which they apply.
_REASONS: Final = {
    "unread": "whose weights were not read, such as pointwise ones",
    "not_learned": "whose weights are not learned",
    "unknown": "standardized by a formula that is not known",
    "not_final": "of checkpoints from within a training run",
    "repeated": "with the same weights as another layer",
}


def scope_texts(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts for the template.

    Args:
        results: Content of results.json.

    Returns:
        `nothing`, `analyzed_text`, `totals_text`, `selection_text`, `comparison_text` and `tests_text`; and
        `empty_columns`, those without two groups.
    """
    return {
        "nothing": nothing_text(results),
        "analyzed_text": analyzed_text(results),
        "totals_text": totals_text(results),
        "selection_text": selection_text(results),
        "comparison_text": comparison_text(results),
        "tests_text": tests_text(results),
        "empty_columns": [group["column"] for group in results["groups"] if group["groups"] < 2],
    }


def analyzed_text(results: Mapping[str, Any]) -> str:
    """Return how many kernels, layers and models were analyzed."""
    basis = results["basis"]
    along = results["options"]["along"]
    counts = (_count(basis["kernels"], "kernel"), _layers(basis["layers"]))
    models = _count(basis["models"], "checkpoint") + " of training runs" if along else _count(basis["models"], "model")
    return f"Analyzed: {' of '.join((*counts, models))}."


def totals_text(results: Mapping[str, Any]) -> str:
    """Return how many layers and models the dataset has, and why the others were left out; empty along steps."""
    selection = results["selection"]
    if results["options"]["along"] or not selection["total"]:
        return ""
    reasons = [f"{_layers(selection[name])} {text}" for name, text in _REASONS.items() if selection.get(name)]
    return (
        f"The dataset has {_layers(selection['total'])} of {_count(selection['models'], 'model')}"
        + (f"; left out: {', '.join(reasons)}" if reasons else "")
        + "."
    )


def selection_text(results: Mapping[str, Any]) -> str:
    """Return which kernels and which share of the layers and models were analyzed."""
    if results["options"]["along"]:
        return (
            "Learned kernels of every step of the training runs of which the dataset has two or more steps, each "
            "distinct tensor of a step once."
        )
    basis, selection = results["basis"], results["selection"]
    return (
        "Learned kernels of final checkpoints, each distinct tensor once. "
        + weights_text(results)
        + f"Analyzed: {_share(basis['layers'], selection['total'])} layers, "
        f"{_share(basis['models'], selection['models'])} models."
    )


def nothing_text(results: Mapping[str, Any]) -> str:
    """Return why no layer was analyzed, and what to run; empty where there are some."""
    if results["basis"]["layers"]:
        return ""
    if not results["selection"]["total"]:
        return "Nothing to analyze: the dataset has no layers; `filtercrawl sync SELECTOR` crawls checkpoints."
    if results["options"]["along"]:
        return "Nothing to analyze: no training run has two or more checkpoints with learned weights that were read."
    return (
        "Nothing to analyze: no layer of a final checkpoint has learned weights that were read; `filtercrawl sync "
        "SELECTOR` crawls checkpoints."
    )


def weights_text(results: Mapping[str, Any]) -> str:
    """Return in which form weights were analyzed; empty for those that are stored."""
    selection = results["selection"]
    if "effective" not in selection:
        return ""
    return (
        "Weights are those that the networks convolve with, not those that the checkpoints store: they differ in "
        f"{_share(selection['effective'], results['basis']['layers'])} layers. The batch normalization was found by "
        f"names and sizes alone for {_layers(selection['norm_by_name'])}, and an epsilon that is not stated was taken "
        f"as 1e-5 for {_layers(selection['eps_assumed'])}. "
    )


def comparison_text(results: Mapping[str, Any]) -> str:
    """Return which columns have groups to compare, and for how many layers their group is known."""
    basis = results["basis"]
    columns = [
        f"{group['column']} ({group['groups']} groups; known for {_share(group['layers'], basis['layers'])} layers)"
        for group in results["groups"]
        if group["groups"] > 1
    ]
    return f"Compared by {', '.join(columns)}." if columns else "No column has two groups to compare."


def tests_text(results: Mapping[str, Any]) -> str:
    """Return the number of tests on the page; empty without one."""
    total = sum(sum(table["tests"].values()) for analysis in results["analyses"] for table in analysis["tables"])
    if not total:
        return ""
    return f"{total:,} tests, adjusted for their number within their tables (Benjamini-Hochberg)."


def _layers(count: int) -> str:
    return _count(count, "layer")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _share(part: int, whole: int) -> str:
    percent = f" ({part / whole:.0%})" if whole else ""
    return f"{part:,} of {whole:,}{percent}"
