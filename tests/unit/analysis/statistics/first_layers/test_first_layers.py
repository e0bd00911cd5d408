"""First layers: which they are, their share of color, and the analysis that shows them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from filtercrawl.api.analysis import Result
from filtercrawl_analysis.analyses.first_layers import MAX_SHOWN, analyze
from filtercrawl_analysis.plots.render import png
from filtercrawl_analysis.statistics.first_layers.colors import COLOR_OF_RANDOM, chromatic_share
from support.memory_view import Layer, MemoryView

GRAY = np.broadcast_to(np.random.default_rng(0).standard_normal((32, 1, 5, 5)), (32, 3, 5, 5)).astype(np.float32)
RANDOM = np.random.default_rng(1).standard_normal((64, 3, 7, 7)).astype(np.float32)


def layer(model_id: str, weight: NDArray[np.float32], **facts: object) -> Layer:
    return Layer(
        model_id=model_id,
        weight=weight,
        facts={
            "op": "conv2d",
            "in_channels": weight.shape[1],
            "out_channels": weight.shape[0],
            "groups": 1,
            "stride": [2, 2],
            "architecture": model_id,
            "is_first": True,
            "is_patchify": False,
            **facts,
        },
    )


def shown(result: Result) -> set[str]:
    return set(result.tables[0].rows["model_id"].to_pylist())


def test_color_is_what_the_channels_do_not_share() -> None:
    assert chromatic_share(GRAY) == (pytest.approx(0, abs=1e-7), 0)
    opponent = GRAY * np.array([1, -1, 0], np.float32)[:, None, None]
    assert chromatic_share(opponent) == (pytest.approx(1), 32)
    share, n_color = chromatic_share(RANDOM)
    assert share == pytest.approx(COLOR_OF_RANDOM, abs=0.02)
    assert n_color == 64
    # By the definition: the distance to the nearest filter with equal channels.
    w = RANDOM.astype(np.float64)
    assert share == pytest.approx(((w - w.mean(1, keepdims=True)) ** 2).sum() / (w**2).sum(), abs=1e-12)


def test_filters_that_are_zero_or_not_finite_do_not_count() -> None:
    weight = GRAY.copy()
    weight[0], weight[1, 0, 0, 0] = 0, np.nan
    assert chromatic_share(weight) == (pytest.approx(0, abs=1e-7), 0)
    assert chromatic_share(np.zeros((4, 3, 3, 3), np.float32)) == (None, None)
    assert chromatic_share(RANDOM[:, :1]) == (None, None)


def test_first_layers_of_images_are_shown_and_others_are_not() -> None:
    result = analyze(
        MemoryView(
            [
                layer("gray", GRAY),
                layer("patches", RANDOM, is_patchify=True),
                layer("one-channel", RANDOM[:, :1]),
                layer("later", RANDOM, is_first=False),
                layer("unknown", RANDOM, is_first=None),
                layer("grouped", RANDOM[:, :1], in_channels=3, groups=3),
                layer("features", np.repeat(RANDOM, 4, axis=1)),
                layer("transposed", RANDOM, op="conv_transpose2d"),
            ]
        )
    )
    assert shown(result) == {"gray", "patches", "one-channel"}
    texts = [str(finding) for finding in result.findings]
    assert texts[0].startswith(
        "Of 2 first layers of three input channels (left out: 1 of one channel), 1 has less color than random weights"
    )
    assert "from 0% in gray to 6" in texts[0]
    assert texts[1] == "1 of 3 first layers cuts the image into patches."
    assert png(result.figures[0]).startswith(b"\x89PNG")


def test_each_architecture_is_shown_before_a_second_layer_of_one() -> None:
    same = [layer(f"a{i:02}", GRAY, architecture="same") for i in range(MAX_SHOWN)]
    result = analyze(MemoryView([*same, layer("z", RANDOM, architecture="other")]))
    assert len(shown(result)) == MAX_SHOWN + 1
    (figure,) = result.figures
    assert (figure.basis.layers, figure.basis.models) == (MAX_SHOWN, MAX_SHOWN)
    assert figure.basis.kernels == 3 * (11 * 32 + 64)


def test_a_dataset_without_layers_files_gives_a_note() -> None:
    result = analyze(MemoryView([layer("gray", GRAY)], stored=False))
    assert not result.tables
    assert result.note == "First layers were not read: the file is missing."


def test_without_a_known_first_layer_there_is_a_note() -> None:
    result = analyze(MemoryView([layer("unknown", RANDOM, is_first=None)]))
    assert "no first layer" in result.note
