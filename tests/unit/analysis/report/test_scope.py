"""Sentences that say what was analyzed and compared."""

from __future__ import annotations

from filtercrawl_analysis.report.scope import nothing_text, scope_texts, selection_text, totals_text

OPTIONS = {"along": None}
SELECTION = {"total": 30, "models": 6, "unread": 15, "not_learned": 0, "not_final": 2, "repeated": 1}


def test_shares_reasons_columns_and_tests() -> None:
    results = {
        "options": OPTIONS,
        "basis": {"layers": 12, "models": 3, "kernels": 100},
        "selection": SELECTION,
        "groups": [
            {"column": "task", "groups": 0, "layers": 0, "models": 0},
            {"column": "family", "groups": 1, "layers": 4, "models": 1},
            {"column": "position", "groups": 3, "layers": 9, "models": 2},
        ],
        "analyses": [{"tables": [{"tests": {"q": 3}}, {"tests": {"q_a": 4, "q_b": 5}}, {"tests": {}}]}],
    }
    assert scope_texts(results) == {
        "nothing": "",
        "analyzed_text": "Analyzed: 100 kernels of 12 layers of 3 models.",
        "totals_text": "The dataset has 30 layers of 6 models; left out: 15 layers whose weights were not read, such "
        "as pointwise ones, 2 layers of checkpoints from within a training run, 1 layer with the same weights as "
        "another layer.",
        "selection_text": "Learned kernels of final checkpoints, each distinct tensor once. Analyzed: 12 of 30 (40%) "
        "layers, 3 of 6 (50%) models.",
        "comparison_text": "Compared by position (3 groups; known for 9 of 12 (75%) layers).",
        "tests_text": "12 tests, adjusted for their number within their tables (Benjamini-Hochberg).",
        "empty_columns": ["task", "family"],
    }


def test_effective_weights_are_named_with_how_many_layers_have_them() -> None:
    known = {"effective": 9, "norm_by_name": 4, "eps_assumed": 1, "unknown": 2}
    selection = {**SELECTION, **known, "unread": 0, "not_final": 0}
    results = {"options": OPTIONS, "basis": {"layers": 12, "models": 3}, "selection": selection}
    assert selection_text(results) == (
        "Learned kernels of final checkpoints, each distinct tensor once. "
        "Weights are those that the networks convolve with, not those that the checkpoints store: they differ in 9 of "
        "12 (75%) layers. The batch normalization was found by names and sizes alone for 4 layers, and an epsilon that "
        "is not stated was taken as 1e-5 for 1 layer. Analyzed: 12 of 30 (40%) layers, 3 of 6 (50%) models."
    )
    assert totals_text(results) == (
        "The dataset has 30 layers of 6 models; left out: 2 layers standardized by a formula that is not known, 1 "
        "layer with the same weights as another layer."
    )


def test_an_empty_dataset() -> None:
    results = {
        "options": OPTIONS,
        "basis": {"layers": 0, "models": 0, "kernels": 0},
        "selection": dict.fromkeys(SELECTION, 0),
        "groups": [],
        "analyses": [],
    }
    assert scope_texts(results) == {
        "nothing": "Nothing to analyze: the dataset has no layers; `filtercrawl sync SELECTOR` crawls checkpoints.",
        "analyzed_text": "Analyzed: 0 kernels of 0 layers of 0 models.",
        "totals_text": "",
        "selection_text": "Learned kernels of final checkpoints, each distinct tensor once. Analyzed: 0 of 0 layers, 0 "
        "of 0 models.",
        "comparison_text": "No column has two groups to compare.",
        "tests_text": "",
        "empty_columns": [],
    }


def test_along_the_steps_of_runs_no_final_checkpoints_are_counted() -> None:
    text = selection_text({"options": {"along": "step"}, "basis": {}, "selection": {}})
    assert text == (
        "Learned kernels of every step of the training runs of which the dataset has two or more steps, each distinct "
        "tensor of a step once."
    )


def test_along_the_steps_of_no_run_nothing_is_analyzed() -> None:
    said = "Nothing to analyze: no training run has two or more checkpoints with learned weights that were read."
    assert nothing_text({"options": {"along": "step"}, "basis": {"layers": 0}, "selection": {"total": 4}}) == said
    assert nothing_text({"options": {"along": "step"}, "basis": {"layers": 2}, "selection": {"total": 4}}) == ""
