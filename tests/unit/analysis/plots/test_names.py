"""Names in figures: short, on one line, distinct, and without boxes for missing characters."""

from __future__ import annotations

import time
import warnings

from hypothesis import given
from hypothesis import strategies as st

from filtercrawl_analysis.plots.names import label, labels
from filtercrawl_analysis.plots.render import svg
from support.figure_layout import figure_of


@given(st.lists(st.text(max_size=40), max_size=8, unique=True), st.integers(8, 30))
def test_labels_are_short_and_those_of_different_names_differ(names: list[str], length: int) -> None:
    found = labels(names, length)
    assert all(len(text) <= length for text in found)
    drawable = [label(name, 10_000) for name in names]
    if len(set(drawable)) == len(drawable):
        assert len(set(found)) == len(found)


def test_names_that_would_be_shortened_alike_begin_where_they_differ() -> None:
    names = [f"organization/{'x' * 20}-{i}-{'y' * 20}" for i in ("first", "second")]
    assert labels(names, 20) == ["…xx-first-…yyyyyyyyy", "…xx-second…yyyyyyyyy"]


def test_of_long_paths_the_part_that_differs_is_kept() -> None:
    names = [f"local/files/{name}/model.onnx" for name in ("yolox_nano", "ultraface", "super_resolution_of_images")]
    assert labels(names, 26) == ["…/yolox_nano/model.onnx", "…/ultraface/model.onnx", "…/super_reso…n_of_images/…"]
    assert labels([*names[:2], "short"], 40) == [*names[:2], "short"]
    assert labels([*names[:2], "short"], 20) == ["…/yolox_nano/…", "…/ultraface/…", "short"]


def test_a_file_is_named_by_its_folder_where_no_other_lies_in_it() -> None:
    names = ["local/files/kair-dncnn25/dncnn_25.pth", "local/files/edsr/edsr_baseline_x2.pt", "local/files/edsr/x4.pt"]
    assert labels(names, 24) == ["…/kair-dncnn25/…", "…/edsr/edsr…seline_x2.pt", names[2]]


def test_of_one_long_path_the_end_is_kept() -> None:
    assert labels(["local/files/superres/edsr-4-014dd654.th", "timm/x"], 26) == ["…/edsr-4-014dd654.th", "timm/x"]
    assert labels(["local/files/a", "local/files/b"], 10) == ["…/a", "…/b"]


def test_many_names_take_no_time_for_each_pair_of_them() -> None:
    names = [f"local/files/of/a/long/path/model-{number:06}/weights/model.onnx" for number in range(20_000)]
    started = time.process_time()
    assert len(set(labels(names, 40))) == len(names)
    assert time.process_time() - started < 4


def test_characters_without_a_glyph_are_written_as_code_points() -> None:
    assert label("🚀 rocket\ufe0f") == "U+1F680 rocket"
    assert label("分辨") == "U+5206 U+8FA8"
    assert label("שלום") == "שלום"


def test_no_name_needs_a_glyph_that_the_font_lacks() -> None:
    name = label("𠮷野家 🚀 你好 ไทย", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg(figure_of(lambda canvas: canvas.add_subplot().set_title(name)))
